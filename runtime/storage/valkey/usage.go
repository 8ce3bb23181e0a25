package valkey

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/ledger"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

type usage struct{ s *Store }

func (u usage) Add(ctx context.Context, t tenancy.ID, r storage.UsageRecord) error {
	if t.IsZero() {
		return storage.ErrNoTenant
	}
	if min(r.TokensIn, r.TokensOut, r.MicroUSD, int64(r.Latency)) < 0 {
		return storage.ErrBadAmount
	}
	n, b := u.s.namesOf(t), storage.UsageBucket{Minute: r.At.Truncate(time.Minute), Model: r.Model, Feature: r.Feature, Outcome: r.Outcome}
	hour := hourOf(r.At)
	place := string(ledger.BucketPlace(b))
	amounts := []int64{1, r.TokensIn, r.TokensOut, r.MicroUSD, int64(r.Latency)}
	_, err := n.sums.ask(context.WithoutCancel(ctx), sum{place: "usage" + place, script: useScript, keys: n.hour(hour), amounts: amounts, args: func(amounts []int64) []string {
		args := []string{n.mark, hour, place, hourOf(time.Now().Add(-storage.UsageKept)), usageTTL}
		for _, x := range amounts {
			args = append(args, strconv.FormatInt(x, 10))
		}
		return args
	}})
	return err
}

// usageTTL leaves the last minute of an hour its whole time.
var usageTTL = strconv.FormatInt((storage.UsageKept + time.Hour).Milliseconds(), 10)

func hourOf(t time.Time) string {
	return strconv.FormatInt(int64(math.Floor(float64(t.Unix())/3600)), 10)
}

func (n *names) hour(hour string) []string { return []string{n.key("usage"), n.key("used", hour)} }

func (u usage) Sum(ctx context.Context, t tenancy.ID, from, to time.Time) ([]storage.UsageBucket, error) {
	if err := u.s.admit(ctx, t); err != nil {
		return nil, err
	}
	n := u.s.namesOf(t)
	hours, err := u.s.hours(ctx, n, hourOf(from), hourOf(to))
	if err != nil {
		return nil, err
	}
	var sums []storage.UsageBucket
	// A day a round trip.
	for len(hours) > 0 {
		day := hours[:min(24, len(hours))]
		hours = hours[len(day):]
		buckets, err := u.s.buckets(ctx, n, day)
		if err != nil {
			return nil, err
		}
		for _, b := range buckets {
			if !b.Minute.Before(from) && b.Minute.Before(to) {
				sums = append(sums, b)
			}
		}
	}
	ledger.SortBuckets(sums)
	return sums, nil
}

// hours are those with usage, oldest first.
func (s *Store) hours(ctx context.Context, n *names, from, to string) ([]string, error) {
	index := n.key("usage")
	reply, err := s.do(ctx, n, []string{index}, []string{"ZRANGE", index, from, to, "BYSCORE"})
	if err != nil {
		return nil, err
	}
	hours, err := reply[0].AsStrSlice()
	if err != nil {
		return nil, unreadable(err)
	}
	return hours, nil
}

func (s *Store) buckets(ctx context.Context, n *names, hours []string) ([]storage.UsageBucket, error) {
	keys, commands := make([]string, len(hours)), make([][]string, len(hours))
	for i, h := range hours {
		keys[i] = n.hour(h)[1]
		commands[i] = []string{"HGETALL", keys[i]}
	}
	reply, err := s.do(ctx, n, keys, commands...)
	if err != nil {
		return nil, err
	}
	var found []storage.UsageBucket
	for i := range reply {
		fields, err := reply[i].AsStrMap()
		if err != nil {
			return nil, unreadable(err)
		}
		if len(fields) == 0 {
			continue // run out since it was listed
		}
		if fields["tenant"] != n.mark {
			return nil, s.foreign()
		}
		delete(fields, "tenant")
		for place, sums := range fields {
			b, ok := ledger.ParseBucketPlace([]byte(place))
			if !ok || !readSums(&b, sums) {
				return nil, unreadable(errShort)
			}
			found = append(found, b)
		}
	}
	return found, nil
}

func readSums(b *storage.UsageBucket, sums string) bool {
	var latency int64
	to := []*int64{&b.Calls, &b.TokensIn, &b.TokensOut, &b.MicroUSD, &latency}
	numbers := strings.Fields(sums)
	if len(numbers) != len(to) {
		return false
	}
	for i, x := range numbers {
		var err error
		if *to[i], err = strconv.ParseInt(x, 10, 64); err != nil {
			return false
		}
	}
	b.Latency = time.Duration(latency)
	return true
}

func sumsOf(b storage.UsageBucket) string {
	var sums []string
	for _, x := range []int64{b.Calls, b.TokensIn, b.TokensOut, b.MicroUSD, int64(b.Latency)} {
		sums = append(sums, strconv.FormatInt(x, 10))
	}
	return strings.Join(sums, " ")
}

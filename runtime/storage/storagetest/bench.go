package storagetest

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
)

// BenchmarkChat measures what a chat asks of a store: take, reserve, settle, append
// of a turn, usage; 64 at once. It reports the process's CPU time a chat.
func BenchmarkChat(b *testing.B, s storage.Store) {
	ctx, id := context.Background(), tenant(b, "bench/default/production/acme")
	// So short that takes go on being allowed, and being dropped, at any speed.
	windows := []storage.Window{{Name: "long", Limit: 1 << 20, Length: 20 * time.Millisecond}, {Name: "burst", Limit: 1 << 20, Length: 5 * time.Millisecond}}
	limits := []storage.Limit{limitOf("tokens:day:1", 0), limitOf("tokens:month:1", 0)}
	keep := storage.Keep{MaxMessages: 50}
	answer := turn(1)
	answer[1].Content = fmt.Sprintf("%0600d", 7)
	var worker atomic.Int64
	b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		n := worker.Add(1)
		for i := 0; pb.Next(); i++ {
			now := time.Now()
			o := caller(fmt.Sprint("key:", n%8))
			if taken, err := s.Windows().Take(ctx, id, o.Caller, windows, now); err != nil || !taken.OK {
				b.Errorf("take: %+v, %v", taken, err)
			}
			r, err := s.Budgets().Reserve(ctx, id, limits, []int64{900, 900})
			if err != nil {
				b.Error(err)
			}
			if err := s.Budgets().Settle(ctx, id, r, []int64{321, 321}); err != nil {
				b.Error(err)
			}
			if err := s.Sessions().Append(ctx, id, o, fmt.Sprint("session-", n, "-", i/20), answer, keep); err != nil {
				b.Error(err)
			}
			if err := s.Usage().Add(ctx, id, storage.UsageRecord{At: now, Model: "m", Feature: "chat", Outcome: "ok", TokensIn: 300, TokensOut: 21}); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-before)/1e3/float64(b.N), "cpu-us/chat")
}

// cpu is the user and system time of the process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

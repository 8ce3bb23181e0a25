package cloudflare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Want is what shall exist.
type Want struct {
	Kind Kind
	Name string
	// Settings that are zero are left as they are, a nil Gateway or Policies among them.
	// A Gateway that is there is meant whole: 0 and false are off.
	Settings Settings
}

// ImmutableError is a difference that no step mends: the thing was made with it.
type ImmutableError struct {
	Kind Kind
	// Field is dimensions, metric or jurisdiction.
	Field, Have, Want string
}

func (e *ImmutableError) Error() string {
	return fmt.Sprintf("%s of %s is %s and can't become %s", e.Field, article(e.Kind), e.Have, e.Want)
}

// Plan says which steps make what is there (nil: nothing) into what is wanted, in order;
// none if it is. It is pure, and asks nobody whether the thing is ours: whoever calls has
// settled that. What wasn't read of have doesn't differ; so plan again after each step.
//
// A location hint that Cloudflare didn't follow is no difference, nor are metadata
// indexes that nobody asked for. The error is an *ImmutableError, and there are no steps
// then.
func Plan(want Want, have *Thing) ([]Step, error) {
	if have == nil {
		create := Step{Verb: Create, Kind: want.Kind, Name: want.Name, Settings: want.Settings, Why: "it doesn't exist"}
		return append([]Step{create}, planIndexes(want, want.Name, map[string]string{})...), nil
	}
	if have.Kind != want.Kind {
		return nil, fmt.Errorf("comparing %s with %s: they are different kinds", have.Kind, want.Kind)
	}
	if err := refuse(want.Kind, want.Settings, have.Settings); err != nil {
		return nil, err
	}
	var steps []Step
	if why := differs(want.Settings, have.Settings); why != "" {
		steps = append(steps, Step{Verb: Update, Kind: want.Kind, ID: have.ID, Name: have.Name, Settings: merge(want.Settings, have.Settings), Why: why})
	}
	if have.Settings.MetadataIndexes != nil {
		steps = append(steps, planIndexes(want, have.ID, have.Settings.MetadataIndexes)...)
	}
	return steps, nil
}

func refuse(kind Kind, want, have Settings) error {
	change := func(field, have, want string) error {
		return &ImmutableError{Kind: kind, Field: field, Have: have, Want: want}
	}
	switch {
	case want.Dimensions != 0 && have.Dimensions != 0 && want.Dimensions != have.Dimensions:
		return change("dimensions", fmt.Sprint(have.Dimensions), fmt.Sprint(want.Dimensions))
	case want.Metric != "" && have.Metric != "" && want.Metric != have.Metric:
		return change("metric", have.Metric, want.Metric)
	}
	// One that isn't told is the default, where a kind is asked for another.
	if w, h := jurisdiction(want), jurisdiction(have); want.Jurisdiction != "" && w != h {
		return change("jurisdiction", h, w)
	}
	return nil
}

func jurisdiction(s Settings) string {
	if s.Jurisdiction == "" {
		return "default"
	}
	return strings.ToLower(s.Jurisdiction)
}

// differs says what must be changed in place, "" if nothing.
func differs(want, have Settings) string {
	text := func(field, want, have string) string {
		if want == "" || have == "" || strings.EqualFold(want, have) {
			return ""
		}
		return fmt.Sprintf("%s is %s, not %s", field, have, want)
	}
	if why := text("storage class", want.StorageClass, have.StorageClass); why != "" {
		return why
	}
	if why := text("read replication", want.ReadReplication, have.ReadReplication); why != "" {
		return why
	}
	if w, h := want.Gateway, have.Gateway; w != nil && h != nil {
		if why := differsGateway(*w, *h); why != "" {
			return why
		}
	}
	switch {
	case want.Policies != nil && have.Policies != nil && !slices.Equal(flatten(want.Policies), flatten(have.Policies)):
		return "its permissions differ"
	// Cloudflare keeps whole seconds.
	case !want.ExpiresAt.IsZero() && want.ExpiresAt.Unix() != have.ExpiresAt.Unix():
		return "its expiry differs"
	}
	return ""
}

func differsGateway(want, have Gateway) string {
	switch {
	case want.CacheTTLSeconds != have.CacheTTLSeconds:
		return fmt.Sprintf("cache TTL is %d s, not %d s", have.CacheTTLSeconds, want.CacheTTLSeconds)
	case want.CollectLogs != have.CollectLogs:
		return fmt.Sprintf("log collection is %t, not %t", have.CollectLogs, want.CollectLogs)
	case want.Authentication != have.Authentication:
		return fmt.Sprintf("authentication is %t, not %t", have.Authentication, want.Authentication)
	case want.RateLimit != have.RateLimit:
		return fmt.Sprintf("rate limit is %d, not %d", have.RateLimit, want.RateLimit)
	case want.RateLimit == 0:
		return ""
	case want.RateInterval != have.RateInterval:
		return fmt.Sprintf("rate interval is %d s, not %d s", have.RateInterval, want.RateInterval)
	case want.RateTechnique != "" && want.RateTechnique != have.RateTechnique:
		return fmt.Sprintf("rate technique is %s, not %s", have.RateTechnique, want.RateTechnique)
	}
	return ""
}

// flatten is policies as a sorted set: Cloudflare gives them back in an order of its own,
// and may join or split those over the same resource.
func flatten(policies []Policy) []string {
	set := map[string]bool{}
	for _, p := range policies {
		for _, permission := range p.Permissions {
			set[fmt.Sprintf("%q on %q in %q", permission, p.Bucket, jurisdiction(Settings{Jurisdiction: p.Jurisdiction}))] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// merge is what is wanted, and what is there where nothing is: an update replaces all.
func merge(want, have Settings) Settings {
	s := want
	if s.Jurisdiction == "" {
		s.Jurisdiction = have.Jurisdiction
	}
	if s.Gateway != nil && have.Gateway != nil {
		g := *s.Gateway
		g.Rest = have.Gateway.Rest
		if g.RateTechnique == "" {
			g.RateTechnique = have.Gateway.RateTechnique
		}
		s.Gateway = &g
	}
	if s.Policies == nil {
		s.Policies = have.Policies
	}
	if s.ExpiresAt.IsZero() {
		s.ExpiresAt = have.ExpiresAt
	}
	return s
}

func planIndexes(want Want, id string, have map[string]string) []Step {
	var steps []Step
	for _, property := range slices.Sorted(maps.Keys(want.Settings.MetadataIndexes)) {
		kind := want.Settings.MetadataIndexes[property]
		old, exists := have[property]
		if exists && strings.EqualFold(old, kind) {
			continue
		}
		why := fmt.Sprintf("metadata index %s is missing", property)
		if exists {
			why = fmt.Sprintf("metadata index %s is of type %s, not %s", property, old, kind)
			steps = append(steps, Step{Verb: DeleteIndex, Kind: want.Kind, ID: id, Property: property, Type: old, Why: why})
		}
		steps = append(steps, Step{Verb: CreateIndex, Kind: want.Kind, ID: id, Property: property, Type: kind, Why: why})
	}
	return steps
}

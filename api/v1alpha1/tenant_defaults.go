package v1alpha1

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ExtractiveModel is the one model of the embedded upstream.
const ExtractiveModel = "builtin/extractive"

// What holds when neither the Tenant nor its class says otherwise.
const (
	DefaultPerMinute     = 60
	DefaultWindowSec     = 60
	DefaultBodyBytes     = 1 << 20
	DefaultMessageChars  = 10_000
	DefaultMaxTokens     = 1024
	DefaultRetentionDays = 30
	DefaultMaxMessages   = 1000
	DefaultStateSize     = "1Gi"
	DefaultKey           = "default"
	DefaultGracePeriod   = 24 * time.Hour
	DefaultCPUTarget     = 70
	DefaultPassages      = 200_000
)

// Memory limits of pods for which nobody names resources. Documents are searched in
// memory, and whatever reads a PDF needs 320 MiB beside.
const (
	defaultMemory          = "256Mi"
	defaultDocumentsMemory = "768Mi"
)

// The schema's bounds of a Tenant's bodyBytes; a class's are held to them too.
const (
	minBodyBytes = 1 << 10
	maxBodyBytes = 64 << 20
)

// Effective is what holds for a Tenant once its own word, its class's and the built-in
// defaults are laid over each other. A zero limit is no limit.
//
// +kubebuilder:object:generate=false
type Effective struct {
	TenantID       string
	Environment    Environment
	DeletionPolicy DeletionPolicy
	// State says where the data is kept.
	State EffectiveState
	// Persistence is the volume; nil unless State.Driver is DriverEmbedded.
	Persistence *Persistence
	// Image of the class; empty leaves it to the operator.
	Image           string
	ImagePullPolicy corev1.PullPolicy
	// Replicas is 0 while suspended and 1 with autoscaling.
	Replicas int32
	// Autoscaling is nil unless it is asked for and the Tenant isn't suspended.
	Autoscaling *Autoscaling
	Resources   corev1.ResourceRequirements
	// Chat model; empty if neither names one and the upstream isn't the embedded one.
	Chat string
	// Fallbacks without repetition and without Chat.
	Fallbacks []string
	// Allowed models that a request may name; Chat is one of them.
	Allowed []string
	// Keys that open the tenant, none with mode none. Each has its revision and grace
	// period set.
	Keys   []APIKey
	Limits EffectiveLimits
	// RetentionDays and MaxMessages bound the chat history.
	RetentionDays int32
	MaxMessages   int32
	MaxTokens     int32
}

// EffectiveLimits are the limits in force. Zero is no limit, but for BodyBytes and
// MessageChars, which always bound.
//
// +kubebuilder:object:generate=false
type EffectiveLimits struct {
	PerMinute      int32
	WindowSec      int32
	Burst          int32
	BurstWindowSec int32
	DailyTokens    int64
	MonthlyTokens  int64
	BodyBytes      int64
	MessageChars   int32
	// OnStoreFailure is local or deny.
	OnStoreFailure string
	// Passages of documents; 0 where nobody bounds them, which is DefaultPassages.
	Passages int32
}

// EffectiveOf lays the Tenant's word over its class's (nil for none) over the built-in
// defaults. What neither names is held to the class's maximum, so that a bound alone
// never refuses a Tenant that asked for nothing. It reads status.state, because what a Tenant started with stays when the
// class changes.
func EffectiveOf(t *Tenant, class *TenantClass) Effective {
	var c TenantClassSpec
	if class != nil {
		c = class.Spec
	}
	s := t.Spec
	e := Effective{
		TenantID:        or(s.TenantID, t.Name),
		Environment:     or(s.Environment, "production"),
		DeletionPolicy:  or(s.DeletionPolicy, or(c.DeletionPolicy, DeletionRetain)),
		Image:           c.Image,
		ImagePullPolicy: or(c.ImagePullPolicy, corev1.PullIfNotPresent),
		Resources:       resources(s, c),
		Limits:          limits(s.Limits, c.Limits, c.MaxLimits),
		RetentionDays:   or(s.Sessions.RetentionDays, DefaultRetentionDays),
		MaxMessages:     or(s.Sessions.MaxMessages, DefaultMaxMessages),
		MaxTokens:       or(s.Prompt.MaxTokens, DefaultMaxTokens),
	}
	if e.State = state(s.State, c.State, t.Status); !e.State.Shared() {
		if e.Persistence = persistence(s.State, c.State, t.Status.State); e.Persistence == nil {
			e.State.Driver = DriverMemory
		}
	}
	e.Replicas, e.Autoscaling = pods(s)
	if e.State.Moving { // two would begin before all is there
		e.Replicas, e.Autoscaling = min(e.Replicas, 1), nil
	}
	e.Chat, e.Fallbacks, e.Allowed = models(s, c.Models.Chat)
	e.Keys = keys(s.Auth)
	if s.Documents != nil {
		e.Limits.Passages = passages(s.Documents.MaxPassages, c.Limits.Passages, c.MaxLimits.Passages)
	}
	return e
}

// MaxReplicas is the largest number of pods that serve the tenant at the same time, not
// counting those that a rollout replaces; 1 or more.
func (e Effective) MaxReplicas() int32 {
	if e.Autoscaling != nil {
		return max(e.Autoscaling.Max, 1)
	}
	return max(e.Replicas, 1)
}

func resources(s TenantSpec, c TenantClassSpec) corev1.ResourceRequirements {
	own, class, most := s.Runtime.Resources, c.Resources, c.MaxResources
	memory := defaultMemory
	if s.Documents != nil {
		memory = defaultDocumentsMemory
	}
	var r corev1.ResourceRequirements
	switch {
	case own != nil:
		r = *own.DeepCopy()
	case class != nil:
		r = *class.DeepCopy()
	default:
		r = corev1.ResourceRequirements{
			Requests: atMost(most, corev1.ResourceList{
				corev1.ResourceCPU:    resource.MustParse("50m"),
				corev1.ResourceMemory: resource.MustParse("64Mi"),
			}),
			Limits: atMost(most, corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}),
		}
	}
	for name, bound := range most {
		if _, named := r.Limits[name]; named {
			continue
		}
		if r.Limits == nil {
			r.Limits = corev1.ResourceList{}
		}
		r.Limits[name] = bound.DeepCopy()
	}
	return r
}

func atMost(most, list corev1.ResourceList) corev1.ResourceList {
	for name, quantity := range list {
		if bound, bounded := most[name]; bounded && quantity.Cmp(bound) > 0 {
			list[name] = bound.DeepCopy()
		}
	}
	return list
}

func pods(s TenantSpec) (int32, *Autoscaling) {
	switch {
	case s.Suspend:
		return 0, nil
	case s.Runtime.Autoscaling != nil:
		a := *s.Runtime.Autoscaling
		a.Min = or(a.Min, 1)
		a.Target = or(a.Target, DefaultCPUTarget)
		return 1, &a
	case s.Runtime.Replicas != nil:
		return *s.Runtime.Replicas, nil
	}
	return 1, nil
}

// models gives the embedded upstream its one model: a class's default names a model of
// some server, which the embedded one isn't.
func models(s TenantSpec, class string) (chat string, fallbacks, allowed []string) {
	switch {
	case s.Models.Chat != "":
		chat = s.Models.Chat
	case or(s.Upstream.Type, UpstreamEmbedded) == UpstreamEmbedded:
		chat = ExtractiveModel
	default:
		chat = class
	}
	for _, m := range s.Models.Fallbacks {
		if m != chat && !slices.Contains(fallbacks, m) {
			fallbacks = append(fallbacks, m)
		}
	}
	named := s.Models.Allowed
	if len(named) == 0 {
		named = fallbacks
	}
	for _, m := range append([]string{chat}, named...) {
		if m != "" && !slices.Contains(allowed, m) {
			allowed = append(allowed, m)
		}
	}
	return chat, fallbacks, allowed
}

func keys(a Auth) []APIKey {
	if a.Mode == AuthNone {
		return nil
	}
	named := a.Keys
	if len(named) == 0 {
		named = []APIKey{{Name: DefaultKey}}
	}
	out := make([]APIKey, len(named))
	for i := range named {
		k := named[i].DeepCopy()
		k.Revision = or(k.Revision, 1)
		if k.SecretRef != nil {
			k.SecretRef.Key = or(k.SecretRef.Key, "token")
		}
		if k.GracePeriod == nil {
			k.GracePeriod = &metav1.Duration{Duration: DefaultGracePeriod}
		}
		out[i] = *k
	}
	return out
}

func limits(own Limits, class, most ClassLimits) EffectiveLimits {
	l := EffectiveLimits{
		PerMinute:      first(own.Requests.PerMinute, class.PerMinute, min(DefaultPerMinute, first(most.PerMinute, nil, DefaultPerMinute))),
		WindowSec:      or(own.Requests.WindowSec, DefaultWindowSec),
		Burst:          first(own.Requests.Burst, class.Burst, first(most.Burst, nil, 0)),
		BurstWindowSec: first(own.Requests.BurstWindowSec, nil, 0),
		DailyTokens:    first(own.Tokens.Daily, class.DailyTokens, first(most.DailyTokens, nil, 0)),
		MonthlyTokens:  first(own.Tokens.Monthly, class.MonthlyTokens, first(most.MonthlyTokens, nil, 0)),
		BodyBytes:      bodyBytes(own.BodyBytes, class.BodyBytes, most.BodyBytes),
		MessageChars:   or(own.MessageChars, DefaultMessageChars),
		OnStoreFailure: or(own.Requests.OnStoreFailure, "local"),
	}
	if l.BurstWindowSec == 0 {
		l.BurstWindowSec = max(1, l.WindowSec/6)
	}
	// A burst window longer than the window bounds nothing that the window doesn't.
	l.BurstWindowSec = min(l.BurstWindowSec, l.WindowSec)
	return l
}

// passages is 0 where the default holds, so that it isn't written everywhere.
func passages(own int32, class, most *int32) int32 {
	switch {
	case own != 0:
		return own
	case class != nil:
		return *class
	case most != nil && *most < DefaultPassages:
		return *most
	}
	return 0
}

func bodyBytes(own, class, most *resource.Quantity) int64 {
	asked := int64(DefaultBodyBytes)
	switch {
	case own != nil:
		asked = own.Value()
	case class != nil:
		asked = class.Value()
	case most != nil:
		asked = min(asked, most.Value())
	}
	return min(max(asked, minBodyBytes), maxBodyBytes)
}

// or is v, or def if v is its type's zero, which in these fields means omitted.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// first is what is set first, or def.
func first[T any](own, class *T, def T) T {
	switch {
	case own != nil:
		return *own
	case class != nil:
		return *class
	}
	return def
}

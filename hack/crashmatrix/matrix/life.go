package matrix

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
	"github.com/crispy-enigma/crispy-enigma/controllers/binding"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// Name of the binding whose life is lived.
const Name = "thing"

// New is a binding as the API server would default it.
func New(namespace string, kind cloudflare.Kind) *v1alpha1.CloudflareBinding {
	b := &v1alpha1.CloudflareBinding{}
	b.Namespace, b.Name, b.UID = namespace, Name, types.UID("uid-of-"+namespace)
	b.Spec = v1alpha1.CloudflareBindingSpec{
		Type: v1alpha1.BindingType(kind), AccountRef: v1alpha1.AccountReference{Name: "main"},
		Adoption: v1alpha1.AdoptIfOwned, DeletionPolicy: v1alpha1.DeletionDelete, PollInterval: &metav1.Duration{Duration: 12 * time.Hour},
	}
	switch kind {
	case cloudflare.D1:
		b.Spec.D1 = &v1alpha1.D1Settings{ReadReplication: "disabled"}
	case cloudflare.R2:
		b.Spec.R2 = &v1alpha1.R2Settings{Jurisdiction: "default", StorageClass: "Standard"}
	case cloudflare.Vectorize:
		b.Spec.Vectorize = &v1alpha1.VectorizeSettings{Dimensions: 768, Metric: "cosine", Replacement: v1alpha1.ReplaceBlueGreen,
			MetadataIndexes: []v1alpha1.MetadataIndex{{Property: "lang", Type: "string"}, {Property: "year", Type: "number"}}}
	case cloudflare.AIGateway:
		b.Spec.AIGateway = &v1alpha1.AIGatewaySettings{Authentication: new(true)}
	case cloudflare.APIToken:
		b.Spec.APIToken = &v1alpha1.APITokenSettings{Permissions: []string{"Workers AI Read"}, Revision: 1,
			RotateAfter: &metav1.Duration{Duration: 90 * 24 * time.Hour}, Overlap: &metav1.Duration{Duration: time.Hour}}
	}
	return b
}

// Phase is a chapter of a life: what a person, or the world, does. The operator has
// settled before, and settles after.
type Phase struct {
	Name string
	Do   func(ctx context.Context, w *World) error
}

// Life is a story of one binding.
type Life struct {
	Name   string
	Kind   cloudflare.Kind
	Phases []Phase
}

// Lives are the stories that are told of each kind.
func Lives() []Life {
	var out []Life
	for _, kind := range cloudflare.Kinds {
		phases := []Phase{{"create", creating(kind)}}
		if kind != cloudflare.KV { // which has nothing to change
			phases = append(phases, Phase{"update", editing(update)})
		}
		switch kind {
		case cloudflare.Vectorize:
			phases = append(phases, Phase{"replace", editing(func(b *v1alpha1.CloudflareBinding) { b.Spec.Vectorize.Dimensions = 1024 })}, Phase{"switch", switching})
		case cloudflare.APIToken:
			phases = append(phases, Phase{"rotate", editing(rotate)})
		}
		out = append(out, Life{"made", kind, append(phases, Phase{"lost", losing}, Phase{"delete", deleting})})
		if kind != cloudflare.APIToken {
			out = append(out, Life{"adopted", kind, []Phase{{"adopt", adopting(kind)}, {"delete", deleting}}})
		}
	}
	return out
}

func creating(kind cloudflare.Kind) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.Client.Create(ctx, New(w.Namespace, kind)) }
}

// adopting names a thing that an earlier binding left.
func adopting(kind cloudflare.Kind) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		b := New(w.Namespace, kind)
		name := cloudflare.Name(cloudflare.Identity{OwnerID: w.OwnerID, Namespace: w.Namespace, Tenant: "earlier", UID: "0"}, kind)
		t := cloudflare.Thing{Kind: kind, Name: name}
		if v := b.Spec.Vectorize; v != nil {
			t.Settings.Dimensions, t.Settings.Metric = int(v.Dimensions), v.Metric
		}
		if b.Spec.AIGateway != nil {
			t.Settings.Gateway = &cloudflare.Gateway{CollectLogs: true}
		}
		w.Planted = w.Cloudflare.Plant(t)
		b.Spec.ExistingID = w.Planted
		return w.Client.Create(ctx, b)
	}
}

func editing(edit func(*v1alpha1.CloudflareBinding)) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		b, err := w.Get(ctx, Name)
		if err != nil {
			return err
		}
		edit(b)
		b.Generation++ // the API server in memory doesn't count
		return w.Client.Update(ctx, b)
	}
}

func update(b *v1alpha1.CloudflareBinding) {
	switch s := &b.Spec; s.Type {
	case v1alpha1.BindingD1:
		s.D1.ReadReplication = "auto"
	case v1alpha1.BindingR2:
		s.R2.StorageClass = "InfrequentAccess"
	case v1alpha1.BindingVectorize:
		s.Vectorize.MetadataIndexes = append(s.Vectorize.MetadataIndexes, v1alpha1.MetadataIndex{Property: "done", Type: "boolean"})
	case v1alpha1.BindingAIGateway:
		s.AIGateway.CollectLogs = true
	case v1alpha1.BindingAPIToken:
		s.APIToken.Permissions = []string{"AI Gateway Run", "Workers AI Read"}
	}
}

func rotate(b *v1alpha1.CloudflareBinding) { b.Spec.APIToken.Revision++ }

func switching(ctx context.Context, w *World) error {
	b, err := w.Get(ctx, Name)
	if err != nil {
		return err
	}
	if b.Status.Next == nil {
		return fmt.Errorf("nothing to switch to")
	}
	b.Annotations = map[string]string{binding.AnnotationSwitch: b.Status.Next.ID}
	return w.Client.Update(ctx, b)
}

// losing has somebody delete the thing in the dashboard; the next LIST shows it.
func losing(ctx context.Context, w *World) error {
	b, err := w.Get(ctx, Name)
	if err != nil {
		return err
	}
	if !w.Cloudflare.Vanish(cloudflare.Kind(b.Spec.Type), b.Status.ID) {
		return fmt.Errorf("thing %q isn't there", b.Status.ID)
	}
	w.Sleep(5 * time.Minute)
	return w.List(ctx, cloudflare.Kind(b.Spec.Type))
}

func deleting(ctx context.Context, w *World) error {
	b, err := w.Get(ctx, Name)
	if err != nil || b == nil {
		return err
	}
	return w.Client.Delete(ctx, b)
}

// Verdict is what is wrong in the end.
type Verdict struct {
	// Duplicates exist beside what is wanted, Orphans though nothing is.
	Duplicates, Orphans int
	// Manual tells that a human must help.
	Manual int
	// Why for people.
	Why []string
}

// Add sums up.
func (v *Verdict) Add(o Verdict) {
	v.Duplicates += o.Duplicates
	v.Orphans += o.Orphans
	v.Manual += o.Manual
	v.Why = append(v.Why, o.Why...)
}

// OK tells that nothing is wrong.
func (v Verdict) OK() bool { return v.Duplicates == 0 && v.Orphans == 0 && v.Manual == 0 }

// Check compares what exists with what the binding says.
func (w *World) Check(ctx context.Context) (Verdict, error) {
	b, err := w.Get(ctx, Name)
	if err != nil {
		return Verdict{}, err
	}
	var v Verdict
	known := map[string]bool{}
	if b != nil {
		known[b.Status.ID] = true
		if b.Status.Next != nil {
			known[b.Status.Next.ID] = true
		}
		for _, old := range b.Status.Old {
			known[old.ID] = true
		}
	}
	var serves *cloudflare.Thing
	for _, t := range w.Cloudflare.Owned(w.OwnerID) {
		switch {
		case b == nil && w.Planted != "" && t.ID == w.Planted && !w.history.had(t.ID):
			// It was deleted before it adopted what was there.
		case b == nil:
			v.Orphans++
			v.Why = append(v.Why, fmt.Sprintf("%s %s is left behind", t.Kind, t.Name))
		case !known[t.ID]:
			v.Duplicates++
			v.Why = append(v.Why, fmt.Sprintf("%s %s exists and no status knows it", t.Kind, t.Name))
		case t.ID == b.Status.ID:
			serves = &t
		}
	}
	if b != nil && b.DeletionTimestamp == nil {
		v.Add(w.destroyed())
	}
	secret, err := w.Secret(ctx, Name)
	if err != nil {
		return Verdict{}, err
	}
	v.Add(w.serving(b, serves, secret))
	return v, nil
}

// destroyed are things with data that were deleted though no status ever called them
// replaced: making one anew hides a duplicate, and loses what it held.
func (w *World) destroyed() (v Verdict) {
	for _, op := range w.Cloudflare.Log() {
		if op.Verb == cloudflare.Delete && op.Effect && op.Kind != cloudflare.APIToken && !w.history.replaced(op.ID) {
			v.Add(Verdict{Manual: 1, Why: []string{fmt.Sprintf("%s %s was deleted with its data", op.Kind, op.ID)}})
		}
	}
	return v
}

// serving says what keeps a binding from being as it shall be: with nobody there to mend
// it, a human must.
func (w *World) serving(b *v1alpha1.CloudflareBinding, serves *cloudflare.Thing, secret *corev1.Secret) Verdict {
	manual := func(format string, args ...any) Verdict {
		return Verdict{Manual: 1, Why: []string{fmt.Sprintf(format, args...)}}
	}
	if b == nil {
		if secret != nil {
			return Verdict{Orphans: 1, Why: []string{"the Secret is left behind"}}
		}
		return Verdict{}
	}
	c := b.Marks().Get(v1alpha1.ConditionReady)
	switch {
	case b.DeletionTimestamp != nil:
		return manual("the binding isn't let go: %+v", b.Status.Conditions)
	case c == nil || c.Status != metav1.ConditionTrue || b.Status.ObservedGeneration != b.Generation:
		return manual("the binding isn't Ready: %+v", b.Status.Conditions)
	case serves == nil:
		return manual("what the status names, %q, doesn't exist", b.Status.ID)
	case binding.Differs(b, *serves):
		return manual("%s %s isn't as the spec says: %+v", serves.Kind, serves.Name, serves.Settings)
	case b.Spec.Type == v1alpha1.BindingAPIToken && (secret == nil || string(secret.Data[binding.SecretID]) != b.Status.ID || !w.Cloudflare.Valid(cloudflare.Secret(secret.Data[binding.SecretToken]))):
		return manual("the Secret doesn't hold the token that serves")
	}
	return Verdict{}
}

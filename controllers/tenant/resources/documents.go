package resources

import (
	"math"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// documents say where documents are kept and how they are searched; nothing until the
// index that the Tenant asks for is there.
func documents(in Inputs) tenantconfig.Documents {
	spec := in.Tenant.Spec.Documents
	if spec == nil {
		return tenantconfig.Documents{}
	}
	d := tenantconfig.Documents{
		Store:             string(spec.Store),
		FetchHosts:        slices.Sorted(slices.Values(spec.FetchHosts)),
		LinkHosts:         slices.Sorted(slices.Values(spec.LinkHosts)),
		RerankModel:       spec.RerankModel,
		VectorWeightMilli: milliOf(spec.VectorWeight),
		MaxPassages:       int(in.Effective.Limits.Passages),
	}
	if spec.Store == v1alpha1.DocumentsVectorize {
		index, ok := vectorize(in)
		if !ok {
			return tenantconfig.Documents{}
		}
		d.Vectorize = index
	}
	if e := spec.Embedding; e != nil {
		d.Embedding = tenantconfig.Embedding{Model: e.Model, Dimensions: int(e.Dimensions)}
	}
	if c := spec.Chunking; c != nil {
		d.Chunking.MaxChars = int(c.MaxChars)
		if c.Overlap != nil {
			overlap := int(*c.Overlap)
			d.Chunking.Overlap = &overlap
		}
	}
	d.MinScoreMilli = milliOf(spec.MinScore)
	if c := spec.Cache; c != nil {
		if c.TTL != nil && c.TTL.Duration == 0 {
			d.CacheSeconds = -1
		} else if c.TTL != nil {
			d.CacheSeconds = int(c.TTL.Seconds())
		}
		if m := milliOf(c.Similarity); m != nil {
			d.SemanticCacheMilli = *m
		}
	}
	if spec.UploadLimit != nil {
		d.UploadBytes = spec.UploadLimit.Value()
	}
	return d
}

// vectorize names the index that holds the tenant's vectors. One that the Tenant only
// names may be others' too: there the tenant has a namespace of its own.
func vectorize(in Inputs) (tenantconfig.Vectorize, bool) {
	spec, b := in.Tenant.Spec.Documents, in.Bindings[v1alpha1.RoleVectors]
	if spec.Vectorize == nil || b == nil {
		return tenantconfig.Vectorize{}, false
	}
	v := tenantconfig.Vectorize{Index: b.Status.ID, Dimensions: int(b.Status.Dimensions), Metric: b.Status.Metric}
	if settings := b.Spec.Vectorize; settings != nil {
		if v.Dimensions == 0 {
			v.Dimensions = int(settings.Dimensions)
		}
		if v.Metric == "" {
			v.Metric = settings.Metric
		}
		for _, index := range settings.MetadataIndexes {
			v.Filterable = append(v.Filterable, index.Property)
		}
		slices.Sort(v.Filterable)
	}
	if next := b.Status.Next; next != nil && next.Ready {
		v.Next, v.NextDimensions = next.ID, int(next.Dimensions)
	}
	if spec.Vectorize.BindingRef != nil {
		v.Namespace = statestore.Tag(Identity(in.Operator.OwnerID, in.Tenant, in.Effective))
	}
	return v, true
}

// milliOf is a number in thousandths, nil for nil.
func milliOf(x *float64) *int {
	if x == nil {
		return nil
	}
	milli := int(math.Round(*x * 1000))
	return &milli
}

func speech(in Inputs) tenantconfig.Speech {
	s := in.Tenant.Spec.Speech
	if s == nil {
		return tenantconfig.Speech{}
	}
	return tenantconfig.Speech{Provider: string(s.Provider), Model: s.Model, Voice: s.Voice, Voices: slices.Clone(s.Voices)}
}

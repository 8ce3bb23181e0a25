package cloudflarefake

import (
	"maps"
	"regexp"
	"slices"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

// names are what Cloudflare's documents say of each kind's.
var names = map[cloudflare.Kind]*regexp.Regexp{
	cloudflare.KV:        regexp.MustCompile(`^.{1,512}$`),
	cloudflare.D1:        regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`),
	cloudflare.R2:        regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`),
	cloudflare.Vectorize: regexp.MustCompile(`^[a-z]+[a-z0-9_-]{0,62}[a-z0-9]+$`),
	cloudflare.AIGateway: regexp.MustCompile(`^[a-z0-9_]+(?:-[a-z0-9_]+)*$`),
	cloudflare.APIToken:  regexp.MustCompile(`^.{1,120}$`),
}

const maxIndexes = 10

func (w *World) do(s cloudflare.Step) (cloudflare.Thing, error) {
	if s.Verb == cloudflare.Create {
		return w.create(s)
	}
	e := w.find(s.Kind, s.ID, s.Settings.Jurisdiction)
	if s.Verb == cloudflare.Delete {
		switch {
		case e == nil:
		case w.filled[e.key]:
			return cloudflare.Thing{}, cloudflare.ErrNotEmpty
		default:
			w.remove(e)
		}
		return cloudflare.Thing{}, nil
	}
	if e == nil {
		if s.Verb == cloudflare.DeleteIndex {
			return cloudflare.Thing{}, nil
		}
		return cloudflare.Thing{}, cloudflare.ErrNotFound
	}
	var err error
	switch s.Verb {
	case cloudflare.Update:
		err = e.update(s)
	case cloudflare.CreateIndex, cloudflare.DeleteIndex:
		err = e.changeIndex(s)
	default:
		err = refused("no such verb %q", s.Verb)
	}
	if err != nil {
		return cloudflare.Thing{}, err
	}
	return shown(e), nil
}

func (w *World) create(s cloudflare.Step) (cloudflare.Thing, error) {
	pattern := names[s.Kind]
	if pattern == nil || !pattern.MatchString(s.Name) || len(s.Name) > 64 && s.Kind != cloudflare.KV && s.Kind != cloudflare.APIToken {
		return cloudflare.Thing{}, refused("no name for %s: %q", s.Kind, s.Name)
	}
	if err := check(s.Kind, s.Settings); err != nil {
		return cloudflare.Thing{}, err
	}
	for _, e := range w.things {
		if e.Kind == s.Kind && e.Name == s.Name && e.deleted == nil && w.unique(s.Kind) &&
			(s.Kind != cloudflare.R2 || place(e.Settings.Jurisdiction) == place(s.Settings.Jurisdiction)) {
			return cloudflare.Thing{}, cloudflare.ErrNameTaken
		}
	}
	if w.count(s.Kind) >= w.quota(s.Kind) {
		return cloudflare.Thing{}, cloudflare.ErrQuota
	}
	settings := s.Settings
	settings.MetadataIndexes = nil // they are made one by one
	e := w.add(cloudflare.Thing{Kind: s.Kind, Name: s.Name, Settings: settings})
	made := shown(e)
	made.Secret = cloudflare.Secret(e.value)
	return made, nil
}

// unique tells whether two things of a kind can't have one name.
func (w *World) unique(kind cloudflare.Kind) bool {
	return kind.NameIsID() || kind != cloudflare.APIToken && !w.opts.SameNames
}

func check(kind cloudflare.Kind, s cloudflare.Settings) error {
	switch kind {
	case cloudflare.Vectorize:
		if s.Dimensions < 1 || s.Dimensions > 1536 {
			return refused("dimensions %d", s.Dimensions)
		}
		if !slices.Contains([]string{"cosine", "euclidean", "dot-product"}, s.Metric) {
			return refused("metric %q", s.Metric)
		}
	case cloudflare.APIToken:
		if len(s.Policies) == 0 {
			return refused("a token without policies")
		}
		for _, p := range s.Policies {
			for _, name := range p.Permissions {
				if !known[name] {
					return refused("no permission %q", name)
				}
			}
			if len(p.Permissions) == 0 {
				return refused("a policy without permissions")
			}
		}
	}
	return nil
}

func (e *entry) update(s cloudflare.Step) error {
	if err := check(s.Kind, s.Settings); s.Kind == cloudflare.APIToken && err != nil {
		return err
	}
	want := clone(cloudflare.Thing{Settings: s.Settings}).Settings
	switch s.Kind {
	case cloudflare.D1:
		e.Settings.ReadReplication = want.ReadReplication
	case cloudflare.R2:
		e.Settings.StorageClass = want.StorageClass
	case cloudflare.AIGateway:
		e.Settings.Gateway = want.Gateway
	case cloudflare.APIToken:
		// Sets come back in an order of Cloudflare's own.
		slices.Reverse(want.Policies)
		e.Settings.Policies, e.Settings.ExpiresAt = want.Policies, want.ExpiresAt
	default:
		return refused("%s has nothing to update", s.Kind)
	}
	return nil
}

func (e *entry) changeIndex(s cloudflare.Step) error {
	_, exists := e.Settings.MetadataIndexes[s.Property]
	switch {
	case s.Kind != cloudflare.Vectorize || s.Property == "":
		return refused("no metadata index")
	case s.Verb == cloudflare.DeleteIndex:
		delete(e.Settings.MetadataIndexes, s.Property)
	case exists: // asking again is no error, and doesn't change its type
	case !slices.Contains([]string{"string", "number", "boolean"}, s.Type):
		return refused("metadata index of type %q", s.Type)
	case len(e.Settings.MetadataIndexes) >= maxIndexes:
		return cloudflare.ErrQuota
	default:
		e.Settings.MetadataIndexes = maps.Clone(e.Settings.MetadataIndexes)
		e.Settings.MetadataIndexes[s.Property] = s.Type
	}
	return nil
}

// known are the permissions that Cloudflare has, as far as we use them.
var known = func() map[string]bool {
	all := map[string]bool{
		"Workers AI Read": true, "Workers AI Write": true, "AI Gateway Run": true,
		"Workers R2 Storage Bucket Item Read": true, "Workers R2 Storage Bucket Item Write": true,
	}
	for _, kind := range cloudflare.Kinds {
		for _, name := range cloudflare.PermissionsTo(kind, false) {
			all[name] = true
		}
	}
	return all
}()

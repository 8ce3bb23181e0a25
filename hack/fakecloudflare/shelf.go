package fakecloudflare

import "time"

// shelf keeps objects of a kind in the order they were made. What was deleted stays
// until no list shows it any more.
type shelf[T any] struct {
	Items []*item[T]
	byKey map[string]*item[T]
	live  int
}

type item[T any] struct {
	Key     string
	Value   T
	Created time.Time
	Deleted *time.Time `json:",omitempty"`
}

func (s *shelf[T]) index() {
	if s.byKey != nil {
		return
	}
	s.byKey = map[string]*item[T]{}
	for _, i := range s.Items {
		if i.Deleted == nil {
			s.byKey[i.Key] = i
			s.live++
		}
	}
}

func (s *shelf[T]) get(key string) *item[T] {
	s.index()
	return s.byKey[key]
}

func (s *shelf[T]) add(key string, value T, now time.Time) *item[T] {
	s.index()
	i := &item[T]{Key: key, Value: value, Created: now}
	s.Items = append(s.Items, i)
	s.byKey[key] = i
	s.live++
	return i
}

func (s *shelf[T]) remove(key string, now time.Time) {
	s.index()
	if i := s.byKey[key]; i != nil {
		i.Deleted = &now
		delete(s.byKey, key)
		s.live--
	}
}

// all are the objects that exist, the oldest first.
func (s *shelf[T]) all() []*item[T] { return s.pick(func(i *item[T]) bool { return i.Deleted == nil }) }

func (s *shelf[T]) find(is func(*T) bool) *item[T] {
	for _, i := range s.Items {
		if i.Deleted == nil && is(&i.Value) {
			return i
		}
	}
	return nil
}

// listed are the objects that a list shows, and forgets the ones that none will again.
func (s *shelf[T]) listed(now time.Time, lag time.Duration) []*item[T] {
	s.Items = s.pick(func(i *item[T]) bool { return i.Deleted == nil || i.Deleted.Add(lag).After(now) })
	return s.pick(func(i *item[T]) bool { return !i.Created.Add(lag).After(now) })
}

func (s *shelf[T]) pick(is func(*item[T]) bool) []*item[T] {
	s.index()
	found := make([]*item[T], 0, len(s.Items))
	for _, i := range s.Items {
		if is(i) {
			found = append(found, i)
		}
	}
	return found
}

func (s *shelf[T]) count() int {
	s.index()
	return s.live
}

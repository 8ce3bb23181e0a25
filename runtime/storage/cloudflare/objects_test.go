package cloudflare_test

import (
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/hack/fakecloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/storagetest"
)

func TestObjects(t *testing.T) {
	t.Parallel()
	storagetest.RunObjects(t, func(t *testing.T) storage.Objects { return newBed(t, plenty(), nil).bucket() })
}

// The signature is checked by the double with the whole of AWS's rules; so a wrong key, an
// old clock and a bucket that isn't there are told apart.
func TestObjectsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), nil)
	o := b.bucket()
	acme := id(t, "acme")
	put := func(o *cloudflare.Objects) error { return o.Put(t.Context(), acme, "k", 1, strings.NewReader("x")) }
	good := b.credential()
	if err := put(o); err != nil || !b.Health().OK {
		t.Fatalf("%v, %+v", err, b.Health())
	}
	for name, c := range map[string]cloudflare.Credential{"another id": {ID: "0123", Token: good.Token}, "another value": {ID: good.ID, Token: "c4nary"}, "none": {}} {
		b.rotate(c)
		if err := put(o); !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "c4nary") || b.Health().Reason != "unauthorized" {
			t.Errorf("%s: %v, %+v", name, err, b.Health())
		}
	}
	b.rotate(good)
	if err := put(cloudflare.NewObjects(b.Account, "none", "default")); !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "bucket") {
		t.Errorf("no bucket: %v", err)
	}
	for name, f := range map[string]fakecloudflare.Fault{"500": {Status: 500}, "cut": {Cut: true, Times: 2}} {
		f.Operation = "s3-.*"
		if err := b.fake.Script(f); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Get(t.Context(), acme, "k"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "s3-.*", Status: 429, RetryAfter: 3 * time.Second}); err != nil {
		t.Fatal(err)
	}
	var busy *storage.BusyError
	if _, err := o.Get(t.Context(), acme, "k"); !errors.As(err, &busy) || busy.After != 3*time.Second {
		t.Errorf("429: %v", err)
	}
	if err := b.fake.Script(fakecloudflare.Fault{Operation: "s3-get", Truncate: 1000}); err != nil {
		t.Fatal(err)
	}
	if err := o.Put(t.Context(), acme, "big", 100_000, io.LimitReader(rand.Reader, 100_000)); err != nil {
		t.Fatal(err)
	}
	r, err := o.Get(t.Context(), acme, "big")
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(r); err == nil {
		t.Errorf("%d bytes of a cut body pass for whole", len(body))
	}
	_ = r.Close()
}

// A clock that is wrong is told as such: no token would help.
func TestObjectsSkewedClock(t *testing.T) {
	t.Parallel()
	b := newBed(t, plenty(), func(o *cloudflare.Options) {
		now := o.Now
		o.Now = func() time.Time { return now().Add(time.Hour) }
	})
	if err := b.bucket().Delete(t.Context(), id(t, "acme"), "k"); !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "clock") {
		t.Errorf("got %v", err)
	}
}

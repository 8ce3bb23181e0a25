package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/tenancy"
)

const (
	acmeKey    = "ce_acme_0123456789abcdef0123456789"
	mobileKey  = "ce_acme_mobile_89abcdef0123456789"
	oldKey     = "ce_acme_old_0123456789abcdef01234"
	graceKey   = "ce_acme_grace_456789abcdef0123456"
	globexKey  = "ce_globex_0123456789abcdef0123456"
	openAddr   = "203.0.113.9:4711"
	unknownKey = "ce_nobody_0123456789abcdef0123456"
)

func world(t testing.TB) *tenancy.Directory {
	rotated := func(k *tenantconfig.Key) {
		k.Digests = append(k.Digests,
			tenantconfig.Digest{SHA256: sum(oldKey), NotAfter: time.Now().Add(-time.Minute)},
			tenantconfig.Digest{SHA256: sum(graceKey), NotAfter: time.Now().Add(time.Hour)})
		k.Scopes = []string{"metrics:read"}
	}
	vouches := func(k *tenantconfig.Key) { k.TrustUserHeader = true }
	return newDirectory(t,
		newTenant(t, "acme", withHosts("acme.example", "xn--mller-kva.example"), withKey("default", acmeKey, rotated), withKey("mobile", mobileKey, vouches)),
		newTenant(t, "globex", withHosts("globex.example"), withKey("default", globexKey)),
		newTenant(t, "open", withHosts("open.example")),
	)
}

// request makes one from "Name: value" lines; a name may come twice. The host is one
// that no tenant has, unless a line says otherwise.
func request(lines ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/chat", nil)
	r.Host, r.RemoteAddr = "service.namespace.svc:8080", openAddr
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

func TestIdentify(t *testing.T) {
	d := world(t)
	bearer := func(key string) string { return "Authorization: Bearer " + key }
	for name, tc := range map[string]struct {
		lines  []string
		tenant string
		caller string
		err    error
	}{
		"nothing":                   {nil, "", "", tenancy.ErrTenantRequired},
		"key alone":                 {[]string{bearer(acmeKey)}, "acme", "key:default", nil},
		"other key alone":           {[]string{bearer(globexKey)}, "globex", "key:default", nil},
		"x-api-key":                 {[]string{"X-Api-Key: " + mobileKey}, "acme", "key:mobile", nil},
		"scheme in any case":        {[]string{"Authorization: bEARER  " + acmeKey}, "acme", "key:default", nil},
		"header and key":            {[]string{"X-Tenant-Id: acme", bearer(acmeKey)}, "acme", "key:default", nil},
		"host and key":              {[]string{"Host: acme.example", bearer(acmeKey)}, "acme", "key:default", nil},
		"host spelt otherwise":      {[]string{"Host: ACME.Example.:443", bearer(acmeKey)}, "acme", "key:default", nil},
		"host in Unicode":           {[]string{"Host: MÜLLER.example", bearer(acmeKey)}, "acme", "key:default", nil},
		"host and header":           {[]string{"Host: acme.example", "X-Tenant-Id: acme", bearer(acmeKey)}, "acme", "key:default", nil},
		"host and header differ":    {[]string{"Host: globex.example", "X-Tenant-Id: acme", bearer(acmeKey)}, "", "", tenancy.ErrTenantMismatch},
		"unknown header":            {[]string{"X-Tenant-Id: initech", bearer(acmeKey)}, "", "", tenancy.ErrTenantUnknown},
		"unknown header, good host": {[]string{"Host: acme.example", "X-Tenant-Id: initech", bearer(acmeKey)}, "", "", tenancy.ErrTenantUnknown},
		"header in another case":    {[]string{"X-Tenant-Id: ACME", bearer(acmeKey)}, "", "", tenancy.ErrTenantUnknown},
		"header with a list":        {[]string{"X-Tenant-Id: acme, globex", bearer(acmeKey)}, "", "", tenancy.ErrTenantUnknown},
		"header twice":              {[]string{"X-Tenant-Id: acme", "X-Tenant-Id: acme", bearer(acmeKey)}, "", "", tenancy.ErrTenantMismatch},
		"header twice, different":   {[]string{"X-Tenant-Id: acme", "X-Tenant-Id: globex", bearer(acmeKey)}, "", "", tenancy.ErrTenantMismatch},
		"empty header":              {[]string{"X-Tenant-Id: ", bearer(acmeKey)}, "acme", "key:default", nil},
		"forwarded host":            {[]string{"X-Forwarded-Host: globex.example", "Forwarded: host=globex.example", bearer(acmeKey)}, "acme", "key:default", nil},
		"no key":                    {[]string{"X-Tenant-Id: acme"}, "", "", tenancy.ErrUnauthorized},
		"unknown key":               {[]string{"X-Tenant-Id: acme", bearer(unknownKey)}, "", "", tenancy.ErrUnauthorized},
		"unknown key alone":         {[]string{bearer(unknownKey)}, "", "", tenancy.ErrUnauthorized},
		"another tenant's key":      {[]string{"X-Tenant-Id: acme", bearer(globexKey)}, "", "", tenancy.ErrUnauthorized},
		"another host's key":        {[]string{"Host: acme.example", bearer(globexKey)}, "", "", tenancy.ErrUnauthorized},
		"key and something":         {[]string{bearer(acmeKey + "x")}, "", "", tenancy.ErrUnauthorized},
		"half a key":                {[]string{bearer(acmeKey[:20])}, "", "", tenancy.ErrUnauthorized},
		"empty bearer":              {[]string{"Authorization: Bearer "}, "", "", tenancy.ErrUnauthorized},
		"huge key":                  {[]string{bearer(strings.Repeat("k", 60_000))}, "", "", tenancy.ErrUnauthorized},
		"digest as key":             {[]string{bearer(sum(acmeKey))}, "", "", tenancy.ErrUnauthorized},
		"basic":                     {[]string{"X-Tenant-Id: acme", "Authorization: Basic " + acmeKey}, "", "", tenancy.ErrUnauthorized},
		"basic beside a key":        {[]string{"Authorization: Basic abc", "X-Api-Key: " + acmeKey}, "acme", "key:default", nil},
		"one key, two headers":      {[]string{bearer(acmeKey), "X-Api-Key: " + acmeKey}, "acme", "key:default", nil},
		"two keys":                  {[]string{bearer(acmeKey), "X-Api-Key: " + mobileKey}, "", "", tenancy.ErrUnauthorized},
		"authorization twice":       {[]string{bearer(acmeKey), bearer(acmeKey)}, "", "", tenancy.ErrUnauthorized},
		"x-api-key twice":           {[]string{"X-Api-Key: " + acmeKey, "X-Api-Key: " + globexKey}, "", "", tenancy.ErrUnauthorized},
		"rotated, in grace":         {[]string{bearer(graceKey)}, "acme", "key:default", nil},
		"rotated, over":             {[]string{bearer(oldKey)}, "", "", tenancy.ErrUnauthorized},
		"rotated, over, named":      {[]string{"X-Tenant-Id: acme", bearer(oldKey)}, "", "", tenancy.ErrUnauthorized},
		"user of a trusted key":     {[]string{bearer(mobileKey), "X-User-Id: jo@example"}, "acme", "user:mobile/jo@example", nil},
		"user of another key":       {[]string{bearer(acmeKey), "X-User-Id: jo"}, "acme", "key:default", nil},
		"user twice":                {[]string{bearer(mobileKey), "X-User-Id: jo", "X-User-Id: mo"}, "", "", tenancy.ErrUserInvalid},
		"user too long":             {[]string{bearer(mobileKey), "X-User-Id: " + strings.Repeat("u", 129)}, "", "", tenancy.ErrUserInvalid},
		"user with control":         {[]string{bearer(mobileKey), "X-User-Id: a\x1b[31m"}, "", "", tenancy.ErrUserInvalid},
		"open by header":            {[]string{"X-Tenant-Id: open"}, "open", "address:203.0.113.9", nil},
		"open by host":              {[]string{"Host: open.example:80"}, "open", "address:203.0.113.9", nil},
		"open, with any key":        {[]string{"Host: open.example", bearer(acmeKey)}, "open", "address:203.0.113.9", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tenant, caller, err := d.Identify(request(tc.lines...))
			if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err != nil {
				if tenant != nil || caller.ID() != (tenancy.Caller{}).ID() {
					t.Errorf("a refusal names %v, %v", tenant, caller)
				}
				return
			}
			if tenant.ID.String() != tc.tenant || caller.ID() != tc.caller {
				t.Errorf("identified %s, %s; want %s, %s", tenant.ID, caller.ID(), tc.tenant, tc.caller)
			}
		})
	}
}

func TestScopesComeFromTheKey(t *testing.T) {
	_, caller, err := world(t).Identify(request("Authorization: Bearer "+acmeKey, "X-Scopes: sessions:all"))
	if err != nil {
		t.Fatal(err)
	}
	if !caller.May("metrics:read") || caller.May(tenancy.ScopeSessionsAll) {
		t.Errorf("scopes are %v", caller.Scopes)
	}
}

func TestLocate(t *testing.T) {
	many, one := world(t), newDirectory(t, newTenant(t, "acme", withKey("default", acmeKey)))
	if _, err := many.Locate(request()); !errors.Is(err, tenancy.ErrTenantRequired) {
		t.Errorf("several tenants, none named: %v", err)
	}
	if tenant, err := many.Locate(request("Host: globex.example")); err != nil || tenant.ID.String() != "globex" {
		t.Errorf("by host: %v, %v", tenant, err)
	}
	if tenant, err := one.Locate(request()); err != nil || tenant.ID.String() != "acme" {
		t.Errorf("the only tenant: %v, %v", tenant, err)
	}
	if _, err := one.Locate(request("X-Tenant-Id: other")); !errors.Is(err, tenancy.ErrTenantUnknown) {
		t.Errorf("another tenant: %v", err)
	}
	if _, _, err := one.Identify(request()); !errors.Is(err, tenancy.ErrTenantRequired) {
		t.Errorf("being the only tenant is no authentication: %v", err)
	}
}

// A gateway passes its clients' credentials on. No key is right where none is needed,
// so what such a request lacks is the tenant's name.
func TestAKeyIsNotAskedForWhereThereIsNone(t *testing.T) {
	d := newDirectory(t, newTenant(t, "open", withHosts("open.example")))
	if _, _, err := d.Identify(request("Authorization: Bearer of-the-gateway")); !errors.Is(err, tenancy.ErrTenantRequired) {
		t.Errorf("no tenant named: %v", err)
	}
	if tenant, caller, err := d.Identify(request("Authorization: Bearer of-the-gateway", "Host: open.example")); err != nil || tenant.ID.String() != "open" || caller.Key != "" {
		t.Errorf("by host: %v, %v, %v", tenant, caller, err)
	}
}

func TestOneValueOfTwoTenantsNamesNeither(t *testing.T) {
	d := newDirectory(t, newTenant(t, "acme", withKey("default", acmeKey)), newTenant(t, "globex", withKey("default", acmeKey)))
	if _, _, err := d.Identify(request("X-Api-Key: " + acmeKey)); !errors.Is(err, tenancy.ErrUnauthorized) {
		t.Errorf("by key: %v", err)
	}
	if tenant, _, err := d.Identify(request("X-Api-Key: "+acmeKey, "X-Tenant-Id: globex")); err != nil || tenant.ID.String() != "globex" {
		t.Errorf("by header: %v, %v", tenant, err)
	}
}

func TestDirectoryRefusesConflicts(t *testing.T) {
	acme, globex := newTenant(t, "acme", withHosts("a.example")), newTenant(t, "globex", withHosts("g.example"))
	if _, err := tenancy.NewDirectory(acme, acme); err == nil {
		t.Error("one id twice was accepted")
	}
	if _, err := tenancy.NewDirectory(acme, newTenant(t, "globex", withHosts("a.example"))); err == nil {
		t.Error("one host twice was accepted")
	}
	if _, err := tenancy.NewDirectory(&tenancy.Tenant{ID: acme.ID}); err == nil {
		t.Error("a tenant that was not loaded was accepted")
	}
	d := newDirectory(t, acme, globex)
	if err := d.Replace(newTenant(t, "globex", withHosts("a.example"))); err == nil {
		t.Error("taking another tenant's host was accepted")
	}
	if got, err := d.Locate(request("Host: a.example")); err != nil || got != acme {
		t.Errorf("after a refusal a.example is %v, %v", got, err)
	}
	if err := d.Replace(newTenant(t, "acme", withHosts("b.example"))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Locate(request("Host: a.example")); !errors.Is(err, tenancy.ErrTenantRequired) {
		t.Errorf("a host that was given up still answers: %v", err)
	}
	if err := d.Replace(newTenant(t, "globex", withHosts("a.example"))); err != nil {
		t.Errorf("taking a free host: %v", err)
	}
}

// A key is good or not by one table at a time: while keys are exchanged for one
// another, each request is answered by one document.
func TestReplaceUnderLoad(t *testing.T) {
	versions := []*tenancy.Tenant{
		newTenant(t, "acme", withHosts("a.example"), withKey("one", acmeKey)),
		newTenant(t, "acme", withHosts("a.example"), withKey("two", acmeKey)),
	}
	d := newDirectory(t, versions[0])
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 2000 {
				tenant, caller, err := d.Identify(request("Host: a.example", "X-Api-Key: "+acmeKey))
				if err != nil || tenant.Config.Auth.Keys[0].Name != caller.Key {
					t.Errorf("caller %v of %v, %v", caller, tenant, err)
					return
				}
			}
		})
	}
	for i := range 500 {
		if err := d.Replace(versions[i%2]); err != nil {
			t.Error(err)
		}
	}
	readers.Wait()
}

func TestRevokedKeyIsRefusedAtOnce(t *testing.T) {
	d := newDirectory(t, newTenant(t, "acme", withKey("default", acmeKey), withKey("mobile", mobileKey)))
	if err := d.Replace(newTenant(t, "acme", withKey("default", acmeKey))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Identify(request("X-Api-Key: " + mobileKey)); !errors.Is(err, tenancy.ErrUnauthorized) {
		t.Errorf("a revoked key: %v", err)
	}
}

// An early exit would make the first of these keys hundreds of times cheaper than the
// last. Minima of many runs are steady on a busy machine.
func TestEveryKeyIsCompared(t *testing.T) {
	const keys = 2000
	options := []option{withHosts("a.example")}
	for i := range keys {
		options = append(options, withKey(fmt.Sprintf("k%d", i), fmt.Sprintf("value-%d", i)))
	}
	d := newDirectory(t, newTenant(t, "acme", options...))
	took := map[string]time.Duration{}
	for range 60 {
		for _, value := range []string{"value-0", fmt.Sprintf("value-%d", keys-1), "value-none"} {
			r := request("Host: a.example", "X-Api-Key: "+value)
			start := time.Now()
			_, _, _ = d.Identify(r)
			if d := time.Since(start); took[value] == 0 || d < took[value] {
				took[value] = d
			}
		}
	}
	for a, x := range took {
		for b, y := range took {
			if x > 3*y {
				t.Errorf("%s takes %v, %s only %v", a, x, b, y)
			}
		}
	}
}

func TestWithUser(t *testing.T) {
	vouching := tenancy.Caller{Key: "mobile", NamesUser: true}
	for name, tc := range map[string]struct {
		caller tenancy.Caller
		user   string
		want   string
		err    error
	}{
		"named":               {vouching, "jo", "user:mobile/jo", nil},
		"none":                {vouching, "", "key:mobile", nil},
		"header goes first":   {tenancy.Caller{Key: "mobile", NamesUser: true, User: "jo"}, "mo", "user:mobile/jo", nil},
		"key may not":         {tenancy.Caller{Key: "default"}, "jo", "key:default", nil},
		"no key":              {tenancy.Caller{Address: "192.0.2.1"}, "jo", "address:192.0.2.1", nil},
		"too long":            {vouching, strings.Repeat("ü", 129), "key:mobile", tenancy.ErrUserInvalid},
		"long enough":         {vouching, strings.Repeat("ü", 128), "user:mobile/" + strings.Repeat("ü", 128), nil},
		"line break":          {vouching, "jo\nadmin", "key:mobile", tenancy.ErrUserInvalid},
		"invalid UTF-8":       {vouching, "jo\xff", "key:mobile", tenancy.ErrUserInvalid},
		"slash stays in user": {vouching, "a/b", "user:mobile/a/b", nil},
	} {
		got, err := tc.caller.WithUser(tc.user)
		if !errors.Is(err, tc.err) || got.ID() != tc.want {
			t.Errorf("%s: %s, %v; want %s, %v", name, got.ID(), err, tc.want, tc.err)
		}
	}
}

func TestRefusalsTellNothingApart(t *testing.T) {
	d := world(t)
	texts := map[string]bool{}
	for _, key := range []string{unknownKey, globexKey, oldKey, ""} {
		_, _, err := d.Identify(request("X-Tenant-Id: acme", "X-Api-Key: "+key))
		texts[fmt.Sprint(err)] = true
	}
	if diff := cmp.Diff(1, len(texts)); diff != "" {
		t.Errorf("different texts: %v", texts)
	}
}

func BenchmarkIdentify(b *testing.B) {
	d := world(b)
	for name, lines := range map[string][]string{
		"host and key": {"Host: acme.example:443", "Authorization: Bearer " + acmeKey},
		"key alone":    {"Authorization: Bearer " + acmeKey},
		"open":         {"Host: open.example"},
	} {
		r := request(lines...)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := d.Identify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

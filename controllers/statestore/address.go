package statestore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrURL is what Parse says of a URL that can't be used. Its text never holds a part of
// the URL.
var ErrURL = errors.New("the value can't be used")

// Address is where a server is, and a login.
type Address struct {
	kind string
	raw  string
	ca   []byte
	tls  *tls.Config
	// hosts as host:port, the first of which names the server for people.
	hosts            []string
	user, password   string
	database         int
	master           string
	sentinelUser     string
	sentinelPassword string
	scheme, after    string
}

var (
	valkeyParameters = []string{"addr", "db", "master_set", "sentinel_user", "sentinel_password"}
	// postgresParameters would name another login, or files that only the operator has.
	postgresParameters = []string{"user", "password", "passfile", "sslcert", "sslkey", "sslrootcert", "sslpassword", "service", "servicefile", "host", "hostaddr", "port", "dbname"}
)

// Parse understands the URL of a server of a kind, as the runtime's driver does, and the
// certificates, in PEM, that the server's is checked against; empty for the system's.
func Parse(kind, raw string, ca []byte) (*Address, error) {
	a := &Address{kind: kind, raw: strings.TrimSpace(raw), ca: ca}
	scheme, rest, ok := strings.Cut(a.raw, "://")
	if !ok {
		return nil, bad("it is no URL; write %s", example(kind))
	}
	schemes := []string{"redis", "rediss", "valkey", "valkeys"}
	if kind == Postgres {
		schemes = []string{"postgres", "postgresql"}
	}
	if !slices.Contains(schemes, scheme) {
		return nil, bad("it must begin with %s://", strings.Join(schemes, ":// or "))
	}
	if len(ca) > 0 && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return nil, bad("the certificates beside it are no PEM")
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	a.after = rest
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		a.after = rest[i+1:]
	}
	a.scheme = scheme
	if kind == Postgres {
		return a, a.parsePostgres()
	}
	return a, a.parseValkey(scheme == "rediss" || scheme == "valkeys")
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrURL, fmt.Sprintf(format, args...))
}

func example(kind string) string {
	if kind == Postgres {
		return "postgres://user:password@host:5432/database with the password percent-encoded"
	}
	return "redis://user:password@host:6379, or rediss:// with TLS, with the password percent-encoded"
}

func (a *Address) parseValkey(secure bool) error {
	u, err := url.Parse(a.raw)
	if err != nil { // its text quotes the URL
		return bad("it is no URL; write %s", example(a.kind))
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("what follows the question mark isn't name=value, percent-encoded")
	}
	for name := range query {
		if !slices.Contains(valkeyParameters, name) {
			return bad("a parameter is none of %s", strings.Join(valkeyParameters, ", "))
		}
	}
	for _, h := range append([]string{u.Host}, query["addr"]...) {
		host, ok := withPort(h, "6379")
		if !ok {
			return bad("an address isn't host or host:port")
		}
		a.hosts = append(a.hosts, host)
	}
	if u.User != nil {
		a.user = u.User.Username()
		a.password, _ = u.User.Password()
	}
	db := strings.Trim(u.Path, "/")
	if query.Has("db") {
		db = query.Get("db")
	}
	if db != "" {
		if a.database, err = strconv.Atoi(db); err != nil || a.database < 0 {
			return bad("the database is no number from 0")
		}
	}
	a.master = query.Get("master_set")
	a.sentinelUser, a.sentinelPassword = query.Get("sentinel_user"), query.Get("sentinel_password")
	if !secure {
		if len(a.ca) > 0 {
			return bad("certificates are given, but it begins with neither rediss:// nor valkeys://")
		}
		return nil
	}
	name, _, _ := net.SplitHostPort(a.hosts[0])
	a.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if len(a.ca) > 0 {
		a.tls.RootCAs = x509.NewCertPool()
		a.tls.RootCAs.AppendCertsFromPEM(a.ca)
	}
	return nil
}

func (a *Address) parsePostgres() error {
	if _, query, ok := strings.Cut(a.after, "?"); ok {
		values, err := url.ParseQuery(query)
		if err != nil {
			return bad("what follows the question mark isn't name=value, percent-encoded")
		}
		for _, name := range postgresParameters {
			if values.Has(name) {
				return bad("the parameter %s can't be used: write what it says into the address, and certificates beside it", name)
			}
		}
	}
	config, err := a.pool()
	if err != nil {
		return bad("it is no URL of a database; write %s", example(a.kind))
	}
	c := config.ConnConfig
	if c.Host == "" || strings.HasPrefix(c.Host, "/") || strings.Contains(c.Host, "@") || c.Database == "" {
		return bad("it names no server, or no database; write %s", example(a.kind))
	}
	a.user, a.password = c.User, c.Password
	a.hosts = []string{net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))}
	for _, f := range c.Fallbacks {
		if h := net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))); !slices.Contains(a.hosts, h) {
			a.hosts = append(a.hosts, h)
		}
	}
	return nil
}

// pool configures connections; with certificates they are encrypted, whatever the URL says.
func (a *Address) pool() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(a.raw)
	if err != nil || len(a.ca) == 0 {
		return config, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.ca)
	c := config.ConnConfig
	c.TLSConfig = &tls.Config{RootCAs: roots, ServerName: c.Host, MinVersion: tls.VersionTLS12}
	kept := c.Fallbacks[:0]
	for _, f := range c.Fallbacks {
		if f.Host == c.Host && f.Port == c.Port {
			continue // the same server once more, without encryption
		}
		f.TLSConfig = &tls.Config{RootCAs: roots, ServerName: f.Host, MinVersion: tls.VersionTLS12}
		kept = append(kept, f)
	}
	c.Fallbacks = kept
	return config, nil
}

func withPort(h, port string) (string, bool) {
	u := url.URL{Host: h}
	host := u.Hostname()
	if u.Port() != "" {
		port = u.Port()
	}
	n, err := strconv.ParseUint(port, 10, 16)
	ok := err == nil && n > 0 && host != "" && !strings.ContainsAny(host, "/@, ") && !strings.HasSuffix(h, ":")
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		ok = false
	}
	return net.JoinHostPort(host, port), ok
}

// Kind of the server.
func (a *Address) Kind() string { return a.kind }

// Host names the server for people, as host:port.
func (a *Address) Host() string { return a.hosts[0] }

// CA are the certificates, in PEM.
func (a *Address) CA() []byte { return a.ca }

// URL as it was given, but for white space around it.
func (a *Address) URL() string { return a.raw }

// Login is the URL's.
func (a *Address) Login() (user, password string) { return a.user, a.password }

// As is the URL with another login.
func (a *Address) As(user, password string) string {
	return a.scheme + "://" + url.UserPassword(user, password).String() + "@" + a.after
}

// Endpoint is one that pods must reach.
type Endpoint struct {
	Host string
	Port int32
}

// Endpoints are all that the URL names. Sentinels send on to servers whose ports they
// alone know: they are taken to have the usual one.
func (a *Address) Endpoints() []Endpoint {
	var out []Endpoint
	for _, h := range a.hosts {
		host, port, _ := net.SplitHostPort(h)
		n, _ := strconv.ParseUint(port, 10, 16)
		out = append(out, Endpoint{host, int32(n)})
		if a.master != "" {
			out = append(out, Endpoint{host, 6379})
		}
	}
	return out
}

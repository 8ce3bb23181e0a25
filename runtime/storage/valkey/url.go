package valkey

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

	valkeygo "github.com/valkey-io/valkey-go"
)

// ErrBadURL is what Open says of a URL that it can't use. Its text never holds a part
// of the URL that could be a secret.
var ErrBadURL = errors.New("the state server's URL can't be used")

var parameters = []string{"addr", "db", "master_set", "sentinel_user", "sentinel_password"}

// parse reads what doc.go describes.
func parse(raw string, ca []byte) (o valkeygo.ClientOption, err error) {
	bad := func(format string, args ...any) (valkeygo.ClientOption, error) {
		return valkeygo.ClientOption{}, fmt.Errorf("%w: %s", ErrBadURL, fmt.Sprintf(format, args...))
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		// The error of url.Parse quotes the URL.
		return bad("it is no URL; write redis://user:password@host:port with the password percent-encoded")
	}
	secure := u.Scheme == "rediss" || u.Scheme == "valkeys"
	if !secure && u.Scheme != "redis" && u.Scheme != "valkey" {
		return bad("it begins with none of redis://, rediss://, valkey:// and valkeys://")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("what follows the question mark isn't name=value, percent-encoded")
	}
	for name := range query {
		if !slices.Contains(parameters, name) {
			return bad("a parameter is none of %s", strings.Join(parameters, ", "))
		}
	}
	for _, a := range append([]string{u.Host}, query["addr"]...) {
		host, port, err := hostPort(a)
		if err != nil {
			return bad("an address isn't host or host:port")
		}
		if o.InitAddress == nil && secure {
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
		}
		o.InitAddress = append(o.InitAddress, net.JoinHostPort(host, port))
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	db := strings.Trim(u.Path, "/")
	if query.Has("db") {
		db = query.Get("db")
	}
	if db != "" {
		if o.SelectDB, err = strconv.Atoi(db); err != nil || o.SelectDB < 0 {
			return bad("the database is no number from 0")
		}
	}
	o.Sentinel.MasterSet = query.Get("master_set")
	o.Sentinel.Username, o.Sentinel.Password = query.Get("sentinel_user"), query.Get("sentinel_password")
	if len(ca) > 0 {
		if !secure {
			return bad("certificates are given, but it isn't rediss:// or valkeys://")
		}
		o.TLSConfig.RootCAs = x509.NewCertPool()
		if !o.TLSConfig.RootCAs.AppendCertsFromPEM(ca) {
			return bad("the certificates given with it are no PEM")
		}
	}
	o.Sentinel.TLSConfig = o.TLSConfig
	return o, nil
}

func hostPort(a string) (host, port string, err error) {
	u := url.URL{Host: a}
	host, port = u.Hostname(), u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", errors.New("no port")
	}
	if host == "" || strings.ContainsAny(host, "/@ ") || strings.HasSuffix(a, ":") {
		return "", "", errors.New("no host")
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", "", errors.New("no host")
	}
	return host, port, nil
}

package statestore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crispy-enigma/crispy-enigma/api/statestore"
)

const (
	// dialTimeout bounds the making of one connection.
	dialTimeout = 3 * time.Second
	// eraseFor is how long one call of Erase goes on.
	eraseFor = 5 * time.Second
	// roleTries bounds how often statements about roles are tried, which servers refuse to
	// run at the same time.
	roleTries = 6
)

// postgres is one database with the login of its owner, or of the tenant that has it to
// itself.
type postgres struct {
	host string
	own  bool
	pool *pgxpool.Pool

	// roles is held while roles are changed: those of one server disturb each other.
	roles sync.Mutex
	// ready tells that the schema is of this build.
	ready atomic.Bool
}

func newPostgres(a *Address, own bool) (*postgres, error) {
	config, err := a.pool()
	if err != nil {
		return nil, bad("it is no URL of a database")
	}
	config.MaxConns, config.MinConns = 4, 0
	config.MaxConnIdleTime = time.Minute
	config.ConnConfig.ConnectTimeout = dialTimeout
	// Scripts and poolers alike take nothing else.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.ConnConfig.RuntimeParams["application_name"] = "crispy-enigma-operator"
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, bad("it is no URL of a database")
	}
	return &postgres{host: a.Host(), own: own, pool: pool}, nil
}

// Close implements Server.
func (p *postgres) Close() { p.pool.Close() }

// Admit implements Server.
func (p *postgres) Admit(ctx context.Context, tag string, l Login) error {
	user, err := statestore.PostgresUser(tag, l.Slot)
	if err != nil {
		return err
	}
	other, err := statestore.PostgresUser(tag, OtherSlot(l.Slot))
	if err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	limits, err := p.logins(ctx, user, other)
	if err != nil {
		return err
	}
	p.roles.Lock()
	defer p.roles.Unlock()
	if limit, there := limits[user]; l.Renew || !there || limit != l.Connections {
		if err := p.make(ctx, tag, l); err != nil {
			return err
		}
	}
	if _, open := limits[other]; open && l.Previous == "" {
		closing, err := statestore.PostgresCloseLogin(tag, OtherSlot(l.Slot))
		if err != nil {
			return err
		}
		return p.change(ctx, closing)
	}
	return nil
}

func (p *postgres) make(ctx context.Context, tag string, l Login) error {
	role, err := statestore.PostgresTenant(tag)
	if err != nil {
		return err
	}
	verifier, err := statestore.PostgresVerifier(l.Password)
	if err != nil {
		return err
	}
	login, err := statestore.PostgresLogin(tag, l.Slot, verifier, l.Connections)
	if err != nil {
		return err
	}
	return p.change(ctx, role, login)
}

// prepare brings the schema to this build's version, once.
func (p *postgres) prepare(ctx context.Context) error {
	if p.ready.Load() {
		return nil
	}
	p.roles.Lock()
	defer p.roles.Unlock()
	if p.ready.Load() {
		return nil
	}
	if err := p.change(ctx, statestore.PostgresSchema(), statestore.PostgresShare()); err != nil {
		return err
	}
	p.ready.Store(true)
	return nil
}

// logins tells which of the roles are open, and for how many connections.
func (p *postgres) logins(ctx context.Context, users ...string) (map[string]int, error) {
	rows, err := p.pool.Query(ctx, "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolcanlogin AND rolname = ANY ($1)", users)
	if err != nil {
		return nil, p.explain(err)
	}
	out := map[string]int{}
	var name string
	var limit int
	if _, err := pgx.ForEachRow(rows, []any{&name, &limit}, func() error { out[name] = limit; return nil }); err != nil {
		return nil, p.explain(err)
	}
	return out, nil
}

// Expel implements Server.
func (p *postgres) Expel(ctx context.Context, tag string) error {
	if p.own {
		return nil
	}
	drop, err := statestore.PostgresDrop(tag)
	if err != nil {
		return err
	}
	p.roles.Lock()
	defer p.roles.Unlock()
	return p.change(ctx, drop)
}

// Erase implements Server.
func (p *postgres) Erase(ctx context.Context, tag string) (more bool, err error) {
	script, err := statestore.PostgresErase(tag)
	if err != nil {
		return false, err
	}
	if p.own {
		_, script, _ = strings.Cut(script, ";") // it has no role of its own to take on
	} else {
		if err := p.takeRole(ctx, tag); err != nil {
			return false, err
		}
	}
	for begun := time.Now(); time.Since(begun) < eraseFor; {
		results, err := p.run(ctx, script)
		if err != nil {
			if p.own && isCode(err, "3F000", "42883") {
				return false, nil // no schema: nothing was ever kept
			}
			return false, p.explain(err)
		}
		last := results[len(results)-1]
		if len(last.Rows) != 1 || len(last.Rows[0]) != 2 {
			return false, refused(Postgres, p.host, "it doesn't tell what is left", nil)
		}
		if string(last.Rows[0][1]) != "t" {
			return false, nil
		}
	}
	return true, nil
}

// takeRole makes the role with whose rights a tenant's data is erased: a login that was
// removed, by whomever, leaves its data behind.
func (p *postgres) takeRole(ctx context.Context, tag string) error {
	role, err := statestore.PostgresTenant(tag)
	if err != nil {
		return err
	}
	if err := p.prepare(ctx); err != nil {
		return err
	}
	p.roles.Lock()
	defer p.roles.Unlock()
	return p.change(ctx, role)
}

// change runs scripts that are about roles, and again those that met another's.
func (p *postgres) change(ctx context.Context, scripts ...string) error {
	for _, script := range scripts {
		for try := 1; ; try++ {
			_, err := p.run(ctx, script)
			if err == nil {
				break
			}
			// XX000 is "tuple concurrently updated", 23505 two who make one role.
			if try == roleTries || !isCode(err, "XX000", "23505", "40001", "40P01", "55P03", "2BP01") {
				return p.explain(err)
			}
			select {
			case <-ctx.Done():
				return p.explain(ctx.Err())
			case <-time.After(rand.N(time.Duration(try) * 50 * time.Millisecond)):
			}
		}
	}
	return nil
}

// run runs one script, which is a transaction.
func (p *postgres) run(ctx context.Context, script string) ([]*pgconn.Result, error) {
	c, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Release()
	return c.Conn().PgConn().Exec(ctx, script).ReadAll()
}

func isCode(err error, codes ...string) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range codes {
		if answer.Code == code {
			return true
		}
	}
	return false
}

// explain tells what people should see of an error. A server's own words name no
// password: statements hold none.
func (p *postgres) explain(err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return away(Postgres, p.host, err)
	}
	switch {
	case strings.HasPrefix(answer.Code, "28"):
		return refused(Postgres, p.host, "it doesn't take the login that the operator has", err)
	case strings.HasPrefix(answer.Code, "57P"), strings.HasPrefix(answer.Code, "08"), strings.HasPrefix(answer.Code, "53"):
		return away(Postgres, p.host, err)
	case isCode(err, "3F000", "42P01", "42704"):
		p.ready.Store(false) // the database is another, or was emptied
	case answer.Code == "42501":
		return refused(Postgres, p.host, fmt.Sprintf("%s; the login must own the database and have CREATEROLE", answer.Message), err)
	}
	return refused(Postgres, p.host, fmt.Sprintf("%s (SQLSTATE %s)", answer.Message, answer.Code), err)
}

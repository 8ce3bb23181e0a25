package fakecloudflare

import (
	"database/sql"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"
)

type d1Database struct {
	UUID         string
	Name         string
	Jurisdiction string
	Replication  string
	// Image is what SQLite holds, in the state file alone.
	Image []byte

	mu   *sync.Mutex
	open *sql.DB
}

const d1Base = "/accounts/{account_id}/d1/database"

var d1Operations = func() []operation {
	all := []operation{
		{method: "GET", path: d1Base, id: "d1-list-databases", groups: read("D1"), do: listDatabases},
		{method: "POST", path: d1Base, id: "d1-create-database", takesJSON: true, do: createDatabase},
		{method: "GET", path: d1Base + "/{database_id}", id: "d1-get-database", groups: read("D1"), do: getDatabase},
		{method: "DELETE", path: d1Base + "/{database_id}", id: "d1-delete-database", do: based(deleteDatabase)},
		{method: "PATCH", path: d1Base + "/{database_id}", id: "d1-update-partial-database", takesJSON: true, do: based(updateDatabase)},
		{method: "PUT", path: d1Base + "/{database_id}", id: "d1-update-database", takesJSON: true, do: based(updateDatabase)},
		{method: "POST", path: d1Base + "/{database_id}/query", id: "d1-query-database", groups: read("D1"), takesJSON: true, unlocked: true, do: queryDatabase},
		{method: "POST", path: d1Base + "/{database_id}/raw", id: "d1-raw-database-query", groups: read("D1"), takesJSON: true, unlocked: true, do: queryDatabase},
	}
	for i := range all {
		if all[i].kind, all[i].malformed = "d1", refuses(7400); all[i].groups == nil {
			all[i].groups = write("D1")
		}
	}
	return all
}()

var d1Name = regexp.MustCompile(`^[a-z0-9][a-z0-9-_]*$`)

func noDatabase(id string) answer {
	return fail(http.StatusNotFound, 7404, "The database %s could not be found", id)
}

func based(do func(*call, *item[d1Database]) answer) func(*call) answer {
	return func(c *call) answer {
		i := c.acct.D1.get(c.param(1))
		if i == nil {
			return noDatabase(c.param(1))
		}
		return do(c, i)
	}
}

func (d *d1Database) shown(i *item[d1Database]) map[string]any {
	shown := map[string]any{"uuid": d.UUID, "name": d.Name, "version": "production", "created_at": i.Created, "jurisdiction": nil,
		"num_tables": 0, "file_size": 0, "read_replication": map[string]string{"mode": d.Replication}}
	if d.Jurisdiction != "" {
		shown["jurisdiction"] = d.Jurisdiction
	}
	return shown
}

func listDatabases(c *call) answer {
	shown := []map[string]any{}
	for _, i := range c.acct.D1.listed(c.now, c.s.opts.Lag.List) {
		// name is a part of the name: tenant-1 finds tenant-10 too.
		if strings.Contains(i.Value.Name, c.r.URL.Query().Get("name")) {
			line := i.Value.shown(i)
			for _, detail := range []string{"num_tables", "file_size", "read_replication"} {
				delete(line, detail)
			}
			shown = append(shown, line)
		}
	}
	return paged(c, shown, 1000, 10_000)
}

func createDatabase(c *call) answer {
	var body struct {
		Name         string `json:"name"`
		Jurisdiction string `json:"jurisdiction"`
		Replication  struct {
			Mode string `json:"mode"`
		} `json:"read_replication"`
	}
	if err := decode(c.body, &body); err != nil || !d1Name.MatchString(body.Name) {
		return fail(http.StatusBadRequest, 7400, "The request is malformed: name must match %s", d1Name)
	}
	if !c.s.opts.Unsure.D1NamesRepeat && c.acct.D1.find(func(d *d1Database) bool { return d.Name == body.Name }) != nil {
		return fail(http.StatusBadRequest, 7502, "Database with name: '%s' already exists", body.Name)
	}
	if c.acct.D1.count() >= c.acct.quotas.D1 {
		return fail(http.StatusForbidden, 7406, "You have reached the maximum number of %d databases for your plan", c.acct.quotas.D1)
	}
	d := d1Database{UUID: uuid.NewString(), Name: body.Name, Jurisdiction: body.Jurisdiction, Replication: body.Replication.Mode, mu: &sync.Mutex{}}
	if d.Replication == "" {
		d.Replication = "disabled"
	}
	i := c.acct.D1.add(d.UUID, d, c.now)
	c.did("create", d.UUID, d.Name)
	return ok(i.Value.shown(i))
}

// getDatabase takes the name too, as wrangler does since version 4.
func getDatabase(c *call) answer {
	i := c.acct.D1.get(c.param(1))
	if i == nil {
		i = c.acct.D1.find(func(d *d1Database) bool { return d.Name == c.param(1) })
	}
	if i == nil {
		return noDatabase(c.param(1))
	}
	return ok(i.Value.shown(i))
}

func deleteDatabase(c *call, i *item[d1Database]) answer {
	i.Value.close()
	c.acct.D1.remove(i.Key, c.now)
	c.did("delete", i.Key, i.Value.Name)
	return ok(nil)
}

func updateDatabase(c *call, i *item[d1Database]) answer {
	var body struct {
		Replication struct {
			Mode string `json:"mode"`
		} `json:"read_replication"`
	}
	if err := decode(c.body, &body); err != nil {
		return fail(http.StatusBadRequest, 7400, "The request is malformed: %s", err)
	}
	switch body.Replication.Mode {
	case "auto", "disabled":
		i.Value.Replication = body.Replication.Mode
		c.did("update", i.Key, i.Value.Name)
	case "":
	default:
		return fail(http.StatusBadRequest, 7400, "The request is malformed: read_replication.mode is auto or disabled")
	}
	return ok(i.Value.shown(i))
}

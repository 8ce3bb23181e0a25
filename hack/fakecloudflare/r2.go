package fakecloudflare

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type r2Bucket struct {
	Name         string
	Jurisdiction string
	Location     string
	StorageClass string
	Objects      map[string]*r2Object
}

type r2Object struct {
	Body        []byte
	ContentType string
	Metadata    map[string]string // x-amz-meta-*
	ETag        string
	Modified    time.Time
}

const r2Base = "/accounts/{account_id}/r2/buckets"

var r2Operations = []operation{
	{method: "GET", path: r2Base, id: "r2-list-buckets", kind: "r2", groups: read("Workers R2 Storage"), do: listBuckets, malformed: refuses(10005)},
	{method: "POST", path: r2Base, id: "r2-create-bucket", kind: "r2", groups: write("Workers R2 Storage"), takesJSON: true, anyType: true, do: createBucket, malformed: refuses(10005)},
	{method: "GET", path: r2Base + "/{bucket_name}", id: "r2-get-bucket", kind: "r2", groups: read("Workers R2 Storage"), do: bucketed(getBucket), malformed: refuses(10005)},
	{method: "PATCH", path: r2Base + "/{bucket_name}", id: "r2-patch-bucket", kind: "r2", groups: write("Workers R2 Storage"), do: bucketed(patchBucket), malformed: refuses(10005)},
	{method: "DELETE", path: r2Base + "/{bucket_name}", id: "r2-delete-bucket", kind: "r2", groups: write("Workers R2 Storage"), do: bucketed(deleteBucket), malformed: refuses(10005)},
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}[a-z0-9]$`)

// jurisdiction of a call; a bucket is unique within one.
func (c *call) jurisdiction() string {
	if j := c.r.Header.Get("Cf-R2-Jurisdiction"); j != "" {
		return j
	}
	return "default"
}

func bucketKey(jurisdiction, name string) string { return jurisdiction + "/" + name }

func bucketed(do func(*call, *item[r2Bucket]) answer) func(*call) answer {
	return func(c *call) answer {
		i := c.acct.R2.get(bucketKey(c.jurisdiction(), c.param(1)))
		if i == nil {
			return fail(http.StatusNotFound, 10006, "The specified bucket does not exist.")
		}
		return do(c, i)
	}
}

func (b *r2Bucket) shown(created time.Time) map[string]any {
	return map[string]any{"name": b.Name, "creation_date": created.UTC().Format(time.RFC3339), "jurisdiction": b.Jurisdiction, "location": b.Location, "storage_class": b.StorageClass}
}

func listBuckets(c *call) answer {
	q := c.r.URL.Query()
	size := 20
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil && n > 0 {
		size = min(n, 1000)
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("cursor"))
	if err != nil {
		return fail(http.StatusBadRequest, 10005, "the cursor isn't one of ours")
	}
	from := max(string(after), q.Get("start_after"))
	all := c.acct.R2.listed(c.now, c.s.opts.Lag.List)
	slices.SortStableFunc(all, func(a, b *item[r2Bucket]) int { return strings.Compare(a.Value.Name, b.Value.Name) })
	buckets := []map[string]any{}
	info := map[string]any{"per_page": size}
	for _, i := range all {
		b := &i.Value
		if b.Jurisdiction != c.jurisdiction() || !strings.Contains(b.Name, q.Get("name_contains")) || b.Name <= from {
			continue
		}
		if len(buckets) == size {
			info["cursor"] = base64.RawURLEncoding.EncodeToString([]byte(buckets[size-1]["name"].(string)))
			break
		}
		buckets = append(buckets, b.shown(i.Created))
	}
	return page(map[string]any{"buckets": buckets}, info)
}

func createBucket(c *call) answer {
	var body struct {
		Name         string `json:"name"`
		LocationHint string `json:"locationHint"`
		StorageClass string `json:"storageClass"`
	}
	if err := decode(c.body, &body); err != nil || !bucketName.MatchString(body.Name) {
		return fail(http.StatusBadRequest, 10005, "The specified bucket name is not valid.")
	}
	key := bucketKey(c.jurisdiction(), body.Name)
	if c.acct.R2.get(key) != nil {
		return fail(http.StatusConflict, 10004, "The bucket you tried to create already exists, and you own it.")
	}
	if c.acct.R2.count() >= c.acct.quotas.R2 {
		return fail(http.StatusForbidden, 10009, "You have attempted to create more buckets than you are allowed, %d", c.acct.quotas.R2)
	}
	// The hint comes back in upper case.
	b := r2Bucket{Name: body.Name, Jurisdiction: c.jurisdiction(), Location: strings.ToUpper(body.LocationHint), StorageClass: body.StorageClass, Objects: map[string]*r2Object{}}
	if b.Location == "" {
		b.Location = "WEUR"
	}
	if b.StorageClass == "" {
		b.StorageClass = "Standard"
	}
	i := c.acct.R2.add(key, b, c.now)
	c.did("create", b.Name, b.Name)
	return ok(b.shown(i.Created))
}

func getBucket(_ *call, i *item[r2Bucket]) answer { return ok(i.Value.shown(i.Created)) }

func patchBucket(c *call, i *item[r2Bucket]) answer {
	class := c.r.Header.Get("Cf-R2-Storage-Class")
	if class != "Standard" && class != "InfrequentAccess" {
		return fail(http.StatusBadRequest, 10062, "cf-r2-storage-class must be Standard or InfrequentAccess")
	}
	i.Value.StorageClass = class
	c.did("update", i.Value.Name, i.Value.Name)
	return ok(i.Value.shown(i.Created))
}

func deleteBucket(c *call, i *item[r2Bucket]) answer {
	if len(i.Value.Objects) > 0 {
		return fail(http.StatusConflict, 10008, "The bucket you tried to delete is not empty.")
	}
	c.acct.R2.remove(i.Key, c.now)
	c.did("delete", i.Value.Name, i.Value.Name)
	return ok(map[string]any{})
}

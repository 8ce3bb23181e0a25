package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/embedded"
)

// ingested are the passages of a version; each tells of which.
func ingested(doc string, version int64, n int) []storage.Passage {
	all := make([]storage.Passage, n)
	for i := range all {
		all[i] = storage.Passage{N: i, Text: fmt.Sprintf("%s %d %d %s", doc, version, i, strings.Repeat("x", 500)), Vector: []float32{float32(i + 1), 1, 2, 3}}
	}
	return all
}

func ingest(ctx context.Context, s *embedded.Store, doc string, n int) (int64, error) {
	version, err := s.Documents().NextVersion(ctx, acme())
	if err != nil {
		return 0, err
	}
	if err := s.Documents().Stage(ctx, acme(), doc, version, ingested(doc, version, n)); err != nil {
		return 0, err
	}
	_, err = s.Documents().Publish(ctx, acme(), storage.Document{ID: doc, Version: version, Passages: n, Updated: time.Now()})
	return version, err
}

// ingestingChild replaces one document, makes and removes another, stages what it never
// publishes and adds jobs, until it is killed.
func ingestingChild(dir string) error {
	ctx := context.Background()
	s, err := embedded.Open(ctx, dir, embedded.Options{})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		version, err := ingest(ctx, s, "replaced", 200+i%300)
		if err != nil {
			return err
		}
		if err := say("ACK published %d\n", version); err != nil {
			return err
		}
		id := uuid.NewString()
		payload := bytes.Repeat([]byte(id), (i%4)*(1<<20)/len(id)+1)
		if err := s.Jobs().Add(ctx, acme(), storage.Job{ID: id, Kind: "k", Created: time.Now()}, payload); err != nil {
			return err
		}
		if err := say("ACK job %s\n", id); err != nil {
			return err
		}
		if err := s.Documents().Stage(ctx, acme(), "staged", version, ingested("staged", version, 300)); err != nil {
			return err
		}
		if _, err := ingest(ctx, s, "removed", 700); err != nil {
			return err
		}
		if _, err := s.Documents().Remove(ctx, acme(), "removed"); err != nil {
			return err
		}
		if err := say("ACK removed\n"); err != nil {
			return err
		}
	}
}

// TestKilledAtAnyTimeDocumentsAreWhole: whatever a kill interrupts, what was published is
// there and whole, what was staged isn't found, no job is lost, and what nobody finds
// leaves the file.
func TestKilledAtAnyTimeDocumentsAreWhole(t *testing.T) {
	const rounds = 12
	dir := t.TempDir()
	var published int64
	var jobs []string
	for round := range rounds {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childDir+"="+dir, childIngests+"=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// A few milliseconds after some acknowledgement is in the middle of something.
		kill := time.AfterFunc(time.Hour, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			var id string
			if _, err := fmt.Sscanf(line, "ACK job %s", &id); err == nil {
				jobs = append(jobs, id)
			}
			_, _ = fmt.Sscanf(line, "ACK published %d", &published)
			if n == 3+round%5 {
				kill.Reset(time.Duration(round*3) * time.Millisecond)
			}
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the child was to be killed: %v, %s", err, stderr.String())
		}
		published, jobs = wantWhole(t, dir, published, jobs)
	}
	t.Logf("%d jobs acknowledged over %d kills", len(jobs), rounds)
}

// wantWhole returns what is there: a kill may come before what was done is told.
func wantWhole(t *testing.T, dir string, published int64, jobs []string) (int64, []string) {
	t.Helper()
	ctx := t.Context()
	s := open(t, dir, embedded.Options{})
	d, there, err := s.Documents().Document(ctx, acme(), "replaced")
	if err != nil || !there || d.Version < published {
		t.Fatalf("got version %d, there %v, error %v; %d was acknowledged", d.Version, there, err, published)
	}
	got, err := s.Documents().Passages(ctx, acme(), "replaced", d.Version, 0, 1000, true)
	if err != nil || len(got) != d.Passages {
		t.Fatalf("got %d passages of %d, error %v", len(got), d.Passages, err)
	}
	for i, want := range ingested("replaced", d.Version, d.Passages) {
		if got[i].Text != want.Text || len(got[i].Vector) != 4 || got[i].Vector[0] != want.Vector[0] {
			t.Fatalf("passage %d of version %d: got %.40q", i, d.Version, got[i].Text)
		}
	}
	if d, there, err := s.Documents().Document(ctx, acme(), "staged"); there || err != nil {
		t.Fatalf("what was staged is found: %+v, %v", d, err)
	}
	removed, _, err := s.Documents().Document(ctx, acme(), "removed")
	if err != nil {
		t.Fatal(err)
	}
	documents, passages, err := s.Documents().Totals(ctx, acme())
	if err != nil || passages != int64(d.Passages+removed.Passages) || documents > 2 {
		t.Fatalf("totals: %d documents, %d passages, error %v", documents, passages, err)
	}
	for _, id := range jobs {
		j, there, err := s.Jobs().Job(ctx, acme(), id)
		payload, perr := s.Jobs().Payload(ctx, acme(), id)
		if err != nil || perr != nil || !there || j.State != storage.JobQueued || len(payload)%len(id) != 0 || !strings.HasPrefix(string(payload), id) {
			t.Fatalf("job %s: there %v, %d bytes, %v, %v", id, there, len(payload), err, perr)
		}
	}
	awaitSwept(t, dir)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return d.Version, jobs
}

// awaitSwept waits until nothing dropped is left, and compares what the file holds with
// what is found of it.
func awaitSwept(t *testing.T, dir string) {
	t.Helper()
	db := raw(t, dir)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); ; <-look.C {
		var dropped, rows, counted, vectors, pieces int
		err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM dropped), (SELECT count(*) FROM passages),
			(SELECT coalesce(sum(passages), 0) FROM parts), (SELECT count(*) FROM vectors),
			(SELECT count(*) FROM payloads WHERE id >> 12 NOT IN (SELECT number FROM jobs WHERE ended = 0))`).Scan(&dropped, &rows, &counted, &vectors, &pieces)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		if dropped == 0 && rows == counted && vectors == rows && pieces == 0 {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("after 10 s: %d dropped, %d passages of %d that parts have, %d vectors, %d pieces of no job", dropped, rows, counted, vectors, pieces)
		}
	}
}

// TestWhatIsDroppedLeavesTheFileAfterARestart, also the payload of an Add that a crash cut
// off.
func TestWhatIsDroppedLeavesTheFileAfterARestart(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, embedded.Options{})
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	// What a crash leaves of a removal, and of a payload that was being written.
	writable, err := sql.Open("sqlite", dir+"/"+embedded.File)
	if err != nil {
		t.Fatal(err)
	}
	_, err = writable.ExecContext(ctx, `
		INSERT INTO dropped (kind, id) VALUES (0, 999);
		WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)
			INSERT INTO passages (id, text, headings, page) SELECT (999 << 20) + n, 'x', '', 0 FROM n;
		INSERT INTO vectors (id, vector) SELECT id, x'00000000' FROM passages;
		INSERT INTO payloads (id, piece) VALUES (7 << 12, x'01'), ((7 << 12) + 1, x'02')`)
	if err := errors.Join(err, writable.Close()); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, embedded.Options{})
	awaitSwept(t, dir)
	if err := s.Jobs().Add(ctx, acme(), storage.Job{ID: uuid.NewString(), Kind: "k", Created: time.Now()}, []byte("p")); err != nil {
		t.Fatal(err)
	}
	awaitSwept(t, dir)
}

// TestAFullFileTakesNoDocumentAndHeals: what is published stays and is found, and a removal
// makes room.
func TestAFullFileTakesNoDocumentAndHeals(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := open(t, dir, embedded.Options{MaxBytes: 6 << 20})
	kept, err := ingest(ctx, s, "kept", 300)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 1000; n++ {
		if _, err = ingest(ctx, s, fmt.Sprint("d", n), 300); err != nil {
			break
		}
	}
	wantUnavailable(t, "ingesting", err, embedded.ReasonDiskFull)
	err = s.Jobs().Add(ctx, acme(), storage.Job{ID: uuid.NewString(), Kind: "k", Created: time.Now()}, make([]byte, 8<<20))
	wantUnavailable(t, "Add", err, embedded.ReasonDiskFull)
	if _, there, err := s.Documents().Document(ctx, acme(), fmt.Sprint("d", n)); there || err != nil {
		t.Fatalf("what wasn't taken is there: %v, %v", there, err)
	}
	got, err := s.Documents().Passages(ctx, acme(), "kept", kept, 0, 1000, true)
	if err != nil || len(got) != 300 || got[299].Text != ingested("kept", kept, 300)[299].Text {
		t.Fatalf("%d passages, %v", len(got), err)
	}
	for i := range n {
		if _, err := s.Documents().Remove(ctx, acme(), fmt.Sprint("d", i)); err != nil {
			t.Fatalf("removing while the file is full: %v", err)
		}
	}
	if _, err := s.Portable().Erase(ctx, acme()); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, s, "")
	awaitSwept(t, dir)
	if _, err := ingest(ctx, s, "again", 300); err != nil {
		t.Errorf("after the removals: %v", err)
	}
}

// TestAFileOfVersion2KeepsItsData and takes documents.
func TestAFileOfVersion2KeepsItsData(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := sql.Open("sqlite", dir+"/"+embedded.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		`PRAGMA journal_mode=WAL`, embedded.SchemaOf(2),
		fmt.Sprintf(`INSERT INTO audit VALUES (3, %q, %d, 'key:x', 'search', 'ab', 'ok', 5)`, acme().Identity(), time.Now().UnixMilli()),
	} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		s := open(t, dir, embedded.Options{})
		if got := auditOf(t, s); len(got) != 1 || got[0].Tool != "search" {
			t.Fatalf("audit: %v", got)
		}
		if _, err := ingest(ctx, s, fmt.Sprint("d", i), 3); err != nil {
			t.Fatal(err)
		}
		documents, passages, err := s.Documents().Totals(ctx, acme())
		if err != nil || documents != int64(i+1) || passages != int64(3*(i+1)) {
			t.Fatalf("%d documents, %d passages, %v", documents, passages, err)
		}
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAChatIsntHeldUpByALargeStage: between the slices of one Stage others are written.
func TestAChatIsntHeldUpByALargeStage(t *testing.T) {
	ctx := t.Context()
	s := open(t, t.TempDir(), embedded.Options{})
	version, err := s.Documents().NextVersion(ctx, acme())
	if err != nil {
		t.Fatal(err)
	}
	staged := make(chan error, 1)
	done := make(chan struct{})
	passages := benchPassages(0, storage.MaxStaged)
	go func() {
		staged <- s.Documents().Stage(ctx, acme(), "d", version, passages)
		close(done)
	}()
	beside := 0
	for {
		select {
		case <-done:
			if err := <-staged; err != nil {
				t.Fatal(err)
			}
			// Each slice lets at least one turn by once the Stage runs.
			if beside < 3 {
				t.Errorf("%d turns were written while a thousand passages were", beside)
			}
			return
		default:
		}
		if err := appendOne(s, "s", 10); err != nil {
			t.Fatal(err)
		}
		beside++
	}
}

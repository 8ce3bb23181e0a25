package injection_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/ai/aifake"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage"
	"github.com/crispy-enigma/crispy-enigma/runtime/storage/memory"
)

// splitMark is where a split order may be parted.
const splitMark = "\x00"

// encoding is how an order is written into its place.
type encoding struct {
	name  string
	ascii bool
	write func(order string) string
}

var encodings = func() (out []encoding) {
	for _, d := range aifake.Disguises {
		out = append(out, encoding{d.Name, d.Name != "zero-width", d.Write})
	}
	return append(out, encoding{"split", true, func(order string) string {
		half := len([]rune(order)) / 2
		return string([]rune(order)[:half]) + "~~" + splitMark + "~~" + string([]rune(order)[half:])
	}})
}()

// sample is one of how many encodings a pair of place and goal has in a run: all of them
// with INJECTION_ALL.
const sample = 3

// one is a case.
type one struct {
	place    *place
	goal     *goal
	way      way
	order    string
	encoding encoding
}

func (c one) String() string {
	return fmt.Sprintf("%s, by %s, %s, %s %q", c.place.name, c.way.name, c.encoding.name, c.goal.name, strings.ReplaceAll(c.order, "c4nary", "canary"))
}

// cases are those of a bed. Each pair of place and goal has each order of the goal, and of
// ways and encodings others each time.
func cases(bed string) (out []one) {
	n := 0
	for i := range places {
		p := &places[i]
		if p.bed != bed {
			continue
		}
		for j := range goals {
			g := &goals[j]
			if g.name == "remote" && bed != "server" {
				continue
			}
			ways := slices.DeleteFunc(slices.Clone(p.ways), func(w way) bool { return g.needs != anything && !slices.Contains(w.has, g.needs) })
			if len(ways) == 0 {
				continue
			}
			times := max(len(g.orders), (len(encodings)+sample-1)/sample)
			if os.Getenv("INJECTION_ALL") != "" {
				times = len(encodings) * len(g.orders)
			}
			if p.slow {
				times = 1
			}
			for k := range times {
				n++
				e := encodings[(n+k/len(g.orders))%len(encodings)]
				order := g.orders[k%len(g.orders)]
				if p.slow {
					order = g.orders[n%len(g.orders)]
				}
				if p.ascii && (!e.ascii || strings.ContainsFunc(e.write(order), func(r rune) bool { return r > 0x7e })) {
					e = encodings[k%4]
				}
				if p.name == "earlier answer" && e.name == "spaced" { // its spaces are said once more, one by one
					e = encodings[2]
				}
				if p.ascii && strings.ContainsFunc(order, func(r rune) bool { return r > 0x7e }) {
					e = encodings[1+k%2] // base64 and hex hold everything
				}
				if p.label && (e.name == "entities" || strings.ContainsAny(e.write(order), `"&`) || len(e.write(order)) > 150) || p.closed && e.name == "spaced" {
					e = encodings[1]
				}
				out = append(out, one{p, g, ways[(n+k)%len(ways)], order, e})
			}
		}
	}
	return out
}

// tally counts over all beds.
type tally struct {
	mu                             sync.Mutex
	cases, through, wanted, worked int
	goals                          map[string]int
}

func (s *tally) add(g string, through bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cases++
	s.goals[g]++
	if through {
		s.through++
	}
}

// TestNothingActsButTheUser runs all cases and their twins. It ends with one line.
func TestNothingActsButTheUser(t *testing.T) {
	store := withStrangers(t)
	sum := &tally{goals: map[string]int{}}
	t.Run("beds", func(t *testing.T) {
		for name, cfg := range map[string]func(*tenantconfig.Config, *services){"": nil, "server": withServer, "descriptions": withServer} {
			s := setup{tenant: "acme", cfg: cfg}
			if name == "" {
				s.store = store
			}
			t.Run("bed "+name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, s)
				b.ready(cfg != nil)
				for _, c := range cases(name) {
					b.run(t, c, sum)
				}
			})
		}
		t.Run("twins", func(t *testing.T) {
			t.Parallel()
			sum.twins(t)
		})
	})
	for _, g := range goals {
		if sum.goals[g.name] < 3 {
			t.Errorf("the model tried %q in %d cases only", g.name, sum.goals[g.name])
		}
	}
	if sum.cases < 240 {
		t.Errorf("%d cases only", sum.cases)
	}
	fmt.Printf("injections cases=%d through=%d utility=%d/%d\n", sum.cases, sum.through, sum.worked, sum.wanted)
}

// run hides the order, asks, and judges.
func (b *bed) run(t *testing.T, c one, sum *tally) {
	t.Helper()
	b.model.forget()
	b.reset("nothing")
	word := c.place.plant(b, c.encoding.write(c.order))
	answers := c.way.ask(b, word)
	wrote, called, _ := b.model.did()
	wrong := b.through(answers, c.place.hearsay)
	tried := c.goal.tried(wrote, called)
	if len(wrong) > 0 {
		t.Errorf("%s: %s", c, strings.Join(wrong, "; "))
	}
	switch {
	case tried && c.place.unread:
		t.Errorf("%s: the model read what nobody should", c)
	case !tried && !c.place.unread:
		t.Errorf("%s: the model didn't try: the case shows nothing", c)

	}
	sum.add(c.goal.name, len(wrong) > 0)
	b.remove(word)
}

// ready waits until the server of tools is connected.
func (b *bed) ready(remote bool) {
	b.t.Helper()
	if remote {
		b.eventually("the tools of the server", func() bool {
			_, _, raw := b.send(http.MethodGet, "/schema/tools", keyMain, "", nil)
			return strings.Contains(string(raw), "far__news")
		})
	}
}

// withStrangers gives a store that holds what is somebody else's: another tenant's
// document, and another caller's session.
func withStrangers(t *testing.T) storage.Store {
	t.Helper()
	store := memory.New(memory.Options{})
	other := newBed(t, setup{tenant: "globex", store: store})
	other.ingest("secret", map[string]any{"text": "Somebody else knows of the pier " + foreign + "."})
	if a := other.ask("/search", map[string]any{"query": "somebody else", "stream": false}); !strings.Contains(a.whole, foreign) {
		t.Fatal("the other tenant doesn't find its own document")
	}
	own := newBed(t, setup{tenant: "acme", store: store})
	body := `{"sessionId":"` + stranger + `","message":"SAY ` + foreign + `","stream":false}`
	if status, _, raw := own.send(http.MethodPost, "/chat", keyOther, "application/json", []byte(body)); status != http.StatusOK || !strings.Contains(string(raw), foreign) {
		t.Fatalf("the other caller's question: status %d", status)
	}
	return store
}

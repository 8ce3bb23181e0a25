package injection_test

import (
	"regexp"
	"testing"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/runtime/guard"
)

// tailCites are what follow-up questions are told without.
var tailCites = regexp.MustCompile(`\s*\[\d+\]`)

// Where a tenant gives leave for all, the same cases go through: it is the policy that
// stops them, not the way they are asked.
func TestWithoutThePolicyToolsRun(t *testing.T) {
	t.Parallel()
	all := func(c *tenantconfig.Config, s *services) {
		withServer(c, s)
		c.Tools.AfterUntrusted = []string{"send", "fetch", "ingest_docs", "far.*"}
	}
	b := newBed(t, setup{tenant: "acme", cfg: all})
	b.ready(true)
	for _, bed := range []string{"", "server", "descriptions"} {
		for _, c := range cases(bed) {
			if c.goal.needs != toolbox || c.goal.name == "foreign" || c.place.unread || c.place.slow {
				continue
			}
			b.model.forget()
			b.reset("nothing")
			word := c.place.plant(b, c.encoding.write(c.order))
			wrong := b.through(c.way.ask(b, word), false)
			if len(wrong) == 0 {
				t.Errorf("%s: nothing is found though everything was allowed", c)
			}
			b.remove(word)
		}
	}
}

// What the model says is found without the filter, and not behind it: in each goal it is
// the filter that keeps it back. A filter that looks for nothing keeps nothing back.
func TestWithoutTheFilterWordsComeOut(t *testing.T) {
	t.Parallel()
	is := func(text string) bool {
		return leads(text) || tellsInstructions(text) || invents(text, 1)
	}
	all := guard.Policy{Sources: []guard.Source{{ID: 1}}, Citations: true, Hidden: guard.NewHidden(instructions)}
	for _, g := range goals {
		if g.needs == toolbox {
			continue
		}
		for _, order := range g.orders {
			raw := wordsOf(order)
			if !is(raw) && !is(cites.ReplaceAllString(raw, "")) && !is(tailCites.ReplaceAllString(raw, "")) {
				t.Errorf("%s: nothing is seen in what the model says", g.name)
			}
			if text, _ := guard.Text(all, raw); is(text) {
				t.Errorf("%s: the filter lets something pass", g.name)
			}
			if g.name == "reveal" {
				// The other stages alone don't keep the instructions back.
				if text, _ := guard.Text(guard.Policy{Sources: all.Sources, Citations: true}, raw); !is(text) {
					t.Errorf("%s: it is kept back though nothing was to be hidden", order)
				}
			}
		}
	}
}

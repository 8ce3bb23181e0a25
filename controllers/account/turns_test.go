package account_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crispy-enigma/crispy-enigma/controllers/account"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
)

func bindingKey(n int) client.ObjectKey { return client.ObjectKey{Name: fmt.Sprint("b", n)} }

func TestTurnsLetAFewIntoEachAccount(t *testing.T) {
	var woken []client.ObjectKey
	turns := account.NewTurns(func(b client.ObjectKey) { woken = append(woken, b) })
	first, second := client.ObjectKey{Name: "first"}, client.ObjectKey{Name: "second"}
	var leaves []func()
	var out []int
	for n := range 100 {
		leave, again := turns.Enter(first, cloudflare.Edit, bindingKey(n))
		if leave == nil {
			out = append(out, n)
			if again <= 0 {
				t.Errorf("binding %d stays outside and isn't told when to look again", n)
			}
			continue
		}
		leaves = append(leaves, leave)
	}
	if len(leaves) == 0 || len(out) == 0 || len(leaves)+len(out) != 100 {
		t.Fatalf("%d were let in, %d not", len(leaves), len(out))
	}
	for _, other := range []struct {
		account client.ObjectKey
		lane    cloudflare.Lane
	}{{second, cloudflare.Edit}, {first, cloudflare.Poll}} {
		leave, _ := turns.Enter(other.account, other.lane, bindingKey(0))
		if leave == nil {
			t.Errorf("%v in lane %d stays outside for the sake of another account or lane", other.account, other.lane)
			continue
		}
		leave()
	}
	// Who asks again keeps the place in line.
	for _, n := range out {
		if leave, _ := turns.Enter(first, cloudflare.Edit, bindingKey(n)); leave != nil {
			t.Fatalf("binding %d was let in though there is no room", n)
		}
	}
	leaves[0]()
	leaves[1]()
	// As long as nobody has come there is room for more.
	want := []client.ObjectKey{bindingKey(out[0]), bindingKey(out[1]), bindingKey(out[2])}
	if !slices.Equal(woken, want) {
		t.Errorf("woken %v, want the first in line, %v", woken, want)
	}
}

func TestTurnsStallForNobodyWhoDoesntCome(t *testing.T) {
	var woken []client.ObjectKey
	turns := account.NewTurns(func(b client.ObjectKey) { woken = append(woken, b) })
	key := client.ObjectKey{Name: "a"}
	var leaves []func()
	n := 0
	for ; ; n++ {
		leave, _ := turns.Enter(key, cloudflare.Poll, bindingKey(n))
		if leave == nil {
			break
		}
		leaves = append(leaves, leave)
	}
	for i := range 20 {
		turns.Enter(key, cloudflare.Poll, bindingKey(n+i))
	}
	for _, leave := range leaves {
		leave() // and nobody of those who are woken comes
	}
	before := len(woken)
	leave, _ := turns.Enter(key, cloudflare.Poll, bindingKey(n+before))
	if leave == nil {
		t.Fatal("an empty account lets nobody in")
	}
	leave()
	if got := len(woken) - before; got != len(leaves) {
		t.Errorf("%d were woken when the account was empty again, want as many as there is room for, %d", got, len(leaves))
	}
}

func TestTurnsBringEverybodyIn(t *testing.T) {
	const bindings = 400
	queue := make(chan int, 10*bindings)
	var inside, most, done atomic.Int64
	turns := account.NewTurns(func(b client.ObjectKey) {
		var n int
		if _, err := fmt.Sscanf(b.Name, "b%d", &n); err != nil {
			t.Error(err)
		}
		queue <- n
	})
	for n := range bindings {
		queue <- n
	}
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for n := range queue {
				leave, _ := turns.Enter(client.ObjectKey{Name: "a"}, cloudflare.Edit, bindingKey(n))
				if leave == nil {
					continue
				}
				now := inside.Add(1)
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
				time.Sleep(100 * time.Microsecond) // so that others come meanwhile
				inside.Add(-1)
				if done.Add(1) == bindings {
					close(queue)
				}
				leave()
			}
		})
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatalf("%d of %d came in", done.Load(), bindings)
	}
	if most.Load() > 16 {
		t.Errorf("%d were inside at once", most.Load())
	}
}

func TestNoTurnsLetEverybodyIn(t *testing.T) {
	var turns *account.Turns
	for n := range 100 {
		if leave, _ := turns.Enter(client.ObjectKey{Name: "a"}, cloudflare.Edit, bindingKey(n)); leave == nil {
			t.Fatal("somebody stays outside")
		}
	}
}

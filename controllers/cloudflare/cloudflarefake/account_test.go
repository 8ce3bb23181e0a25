package cloudflarefake_test

import (
	"sync"
	"testing"
	"time"

	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/accounttest"
	"github.com/crispy-enigma/crispy-enigma/controllers/cloudflare/cloudflarefake"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	accounttest.Run(t, func(_ *testing.T, setup accounttest.Setup) accounttest.Subject {
		var mu sync.Mutex
		now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
		opts := cloudflarefake.Options{ListLag: setup.ListLag, Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}}
		if setup.Quota > 0 {
			opts.Quotas = map[cloudflare.Kind]int{}
			for _, kind := range cloudflare.Kinds {
				opts.Quotas[kind] = setup.Quota
			}
		}
		w := cloudflarefake.New(opts)
		return accounttest.Subject{
			Account: w.Open("operator"),
			OpenAs:  func(value cloudflare.Secret) cloudflare.Account { return w.OpenAs(value) },
			Fill:    w.Fill,
			Pass: func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(d)
			},
		}
	})
}

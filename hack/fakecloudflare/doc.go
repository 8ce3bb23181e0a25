// Package fakecloudflare is Cloudflare for developers and tests: one HTTP server that
// plays the control plane (KV, D1, R2, Vectorize, AI Gateway, account tokens), the data
// plane behind it (gateway, Workers AI, R2 over S3) and the ways in which both fail.
//
// Promise: it is as strict as the real one. Names, limits, quotas, permissions, rate
// limits, error codes and late visibility are Cloudflare's; requests and answers are
// checked against Cloudflare's own document, and what breaks it is in Violations. Where
// Cloudflare's behaviour isn't known it can be switched both ways (Unsure). A call is
// in the Log with what it changed, so a test can count duplicates and orphans.
//
// It refuses what it doesn't play with Cloudflare's own "no route". It keeps no secrets
// of real accounts and isn't meant to be reached by others than its developer.
//
//	s, err := fakecloudflare.New(fakecloudflare.Options{Lag: fakecloudflare.Lag{List: 30 * time.Second}})
//	api := httptest.NewServer(s) // the base URL is api.URL + "/client/v4", the gateway's api.URL
//	err = s.Script(fakecloudflare.Fault{Operation: "d1-create-database", Cut: true, After: true})
//	token := s.RootToken(fakecloudflare.DefaultAccount)
package fakecloudflare

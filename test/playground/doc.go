// Package playground opens the page of a tenant in a real browser, in front of a real
// server and a scripted model. It has tests only.
package playground

package httpapi_test

import (
	"testing"

	"github.com/crispy-enigma/crispy-enigma/runtime/httpapi"
)

func TestIsUUID(t *testing.T) {
	for s, want := range map[string]bool{
		"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11":   true,
		"0B0F3C5E-9F5A-4D2E-8B53-6B1F0A3C9D11":   true,
		"":                                       false,
		"0b0f3c5e9f5a4d2e8b536b1f0a3c9d11":       false,
		"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d1":    false,
		"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d1g":   false,
		"0b0f3c5e-9f5a-4d2e-8b53_6b1f0a3c9d11":   false,
		"{0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11}": false,
		"0b0f3c5e-9f5a-4d2e-8b53-6b1f0a3c9d11\n": false,
	} {
		if got := httpapi.IsUUID(s); got != want {
			t.Errorf("IsUUID(%q) = %v", s, got)
		}
	}
}

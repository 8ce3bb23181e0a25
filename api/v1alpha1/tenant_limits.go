package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Limits say how much the tenant's callers may ask.
type Limits struct {
	// requests bounds how often one caller may ask.
	// +kubebuilder:default={}
	// +optional
	Requests RequestLimits `json:"requests,omitempty"`
	// tokens bounds what the whole tenant may use, input and output together.
	// +optional
	Tokens TokenLimits `json:"tokens,omitempty"`
	// bodyBytes is the largest request body, from 1Ki to 64Mi. Default: the
	// class's, else 1Mi.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('64Mi')) <= 0",message="spec.limits.bodyBytes must be from 1Ki to 64Mi"
	// +optional
	BodyBytes *resource.Quantity `json:"bodyBytes,omitempty"`
	// messageChars is the longest chat message in characters. Default: 10000.
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MessageChars int32 `json:"messageChars,omitempty"`
}

// RequestLimits are two sliding windows per caller.
//
// +kubebuilder:validation:XValidation:rule="!has(self.burstWindowSec) || !has(self.windowSec) || self.burstWindowSec <= self.windowSec",message="spec.limits.requests.burstWindowSec must not exceed windowSec"
type RequestLimits struct {
	// perMinute is how many requests one caller may send in windowSec seconds. Default:
	// the class's, else 60.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	PerMinute *int32 `json:"perMinute,omitempty"`
	// windowSec is the length of the window of perMinute, in seconds. Default: 60.
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	WindowSec int32 `json:"windowSec,omitempty"`
	// burst is how many requests one caller may send in burstWindowSec seconds.
	// Default: the class's, else no second window.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Burst *int32 `json:"burst,omitempty"`
	// burstWindowSec is the length of the window of burst, in seconds. Default: a
	// sixth of windowSec.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	// +optional
	BurstWindowSec *int32 `json:"burstWindowSec,omitempty"`
	// onStoreFailure says what a request meets while the state store can't be reached:
	// local counts in each pod, with the limit divided by the pods; deny refuses it.
	// Default: local.
	// +kubebuilder:default=local
	// +kubebuilder:validation:Enum=local;deny
	// +optional
	OnStoreFailure string `json:"onStoreFailure,omitempty"`
}

// TokenLimits bound what the whole tenant may use.
type TokenLimits struct {
	// daily tokens per UTC day. Default: the class's, else no limit.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Daily *int64 `json:"daily,omitempty"`
	// monthly tokens per UTC month. Default: the class's, else no limit.
	// +kubebuilder:validation:Minimum=1
	// +optional
	Monthly *int64 `json:"monthly,omitempty"`
}

// BudgetAction is what happens when the money is spent.
//
// +kubebuilder:validation:Enum=Warn;Throttle;Block
type BudgetAction string

// Budget is the tenant's spending limit.
type Budget struct {
	// monthlyUSD is how much may be spent per UTC month, in US dollars, for example 50
	// or "12.50". Spending is known for models whose price the class lists.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('10m')) >= 0 && quantity(string(self)).compareTo(quantity('1G')) <= 0",message="spec.budget.monthlyUSD must be an amount from 0.01 to 1000000000, for example 50 or \"12.50\""
	MonthlyUSD resource.Quantity `json:"monthlyUSD"`
	// onExceeded is Warn (serve on, with a condition), Throttle (a tenth of the rate
	// limit) or Block (refuse until the month ends). Default: Block.
	// +kubebuilder:default=Block
	// +optional
	OnExceeded BudgetAction `json:"onExceeded,omitempty"`
}

// Sessions bounds the chat history.
type Sessions struct {
	// retentionDays is how many days a session is kept after its last message.
	// Default: 30.
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	// +optional
	RetentionDays int32 `json:"retentionDays,omitempty"`
	// maxMessages is how many messages a session keeps; the oldest are dropped.
	// Default: 1000.
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=100000
	// +optional
	MaxMessages int32 `json:"maxMessages,omitempty"`
}

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition types of a Tenant. Ready, Reconciling and Stalled follow kstatus, so that
// `kubectl wait`, Helm and Flux understand them: Ready sums up; Reconciling is there
// while waiting helps, Stalled while only a change of the spec, or of what it names,
// does. Both are absent otherwise.
const (
	ConditionReady       = "Ready"
	ConditionReconciling = "Reconciling"
	ConditionStalled     = "Stalled"

	// ConditionCredentialsReady: every key and credential that the spec names was read.
	ConditionCredentialsReady = "CredentialsReady"
	// ConditionBindingsReady: every Cloudflare thing that the spec needs is there. Absent
	// without an account.
	ConditionBindingsReady = "BindingsReady"
	// ConditionWorkloadReady: the pods run and serve the document that was written last.
	ConditionWorkloadReady = "WorkloadReady"
	// ConditionRouteAccepted: the Gateway took the HTTPRoute. Absent without a gateway.
	ConditionRouteAccepted = "RouteAccepted"
	// ConditionModelReady: the default chat model answered when it was last asked. A
	// Tenant whose model fails is Ready all the same: its API answers, with errors.
	ConditionModelReady = "ModelReady"
	// ConditionBudgetOK: the month's spending is within the budget. Absent without one.
	ConditionBudgetOK = "BudgetOK"
	// ConditionStatePersistent: the data outlives the pod.
	ConditionStatePersistent = "StatePersistent"
	// ConditionStateStoreReachable: the pods can read and write their state.
	ConditionStateStoreReachable = "StateStoreReachable"
	// ConditionDocumentsReady: all documents can be found. Absent without spec.documents.
	// A Tenant whose documents or tools can't be used is Ready all the same: it answers
	// whatever needs none.
	ConditionDocumentsReady = "DocumentsReady"
	// ConditionToolsReady: every tool of the tenant's own can be used. Absent without
	// tools.
	ConditionToolsReady = "ToolsReady"

	// ConditionPermissionsReady of a CloudflareAccount: its token may do all that is asked
	// of it.
	ConditionPermissionsReady = "PermissionsReady"
	// ConditionQuotaOK of a CloudflareAccount: nothing that is asked for exceeds what
	// Cloudflare lets the account have.
	ConditionQuotaOK = "QuotaOK"
)

// Reasons of conditions. Scripts may match them: a reason never changes its meaning.
const (
	ReasonReady     = "Ready"
	ReasonSuspended = "Suspended"

	// Waiting helps, or the thing that is named appears.
	ReasonRetrying          = "Retrying"
	ReasonClassNotFound     = "ClassNotFound"
	ReasonSecretNotFound    = "SecretNotFound"
	ReasonSecretKeyMissing  = "SecretKeyMissing"
	ReasonKeyTooShort       = "KeyTooShort"
	ReasonKeyNotUnique      = "KeyNotUnique"
	ReasonTokenMalformed    = "TokenMalformed"
	ReasonAccountNotFound   = "AccountNotFound"
	ReasonAccountNotAllowed = "AccountNotAllowed"
	ReasonCredentialsRead   = "CredentialsRead"
	ReasonRollingOut        = "RollingOut"
	ReasonImagePullFailed   = "ImagePullFailed"
	ReasonPodCrashing       = "PodCrashing"
	ReasonPodRefused        = "PodRefused"
	ReasonUnschedulable     = "Unschedulable"
	ReasonVolumePending     = "VolumePending"
	ReasonConfigNotLoaded   = "ConfigNotLoaded"
	ReasonConfigRefused     = "ConfigRefused"
	ReasonStatusUnreachable = "StatusUnreachable"
	ReasonStateStoreFailing = "StateStoreFailing"
	ReasonNamespaceDeleting = "NamespaceDeleting"
	ReasonRouteNotAccepted  = "RouteNotAccepted"
	ReasonRoutePending      = "RoutePending"
	ReasonRouteAccepted     = "RouteAccepted"
	ReasonGatewayAPIMissing = "GatewayAPIMissing"
	ReasonModelUnknown      = "ModelNotAsked"
	ReasonModelAnswers      = "ModelAnswers"
	ReasonModelFailing      = "ModelFailing"
	ReasonNotTold           = "NotTold"
	ReasonExtractive        = "Extractive"
	ReasonWithinBudget      = "WithinBudget"
	ReasonBudgetExceeded    = "BudgetExceeded"
	ReasonPriceUnknown      = "PriceUnknown"
	ReasonPersistent        = "Persistent"
	ReasonEphemeral         = "Ephemeral"
	ReasonStateStoreAnswers = "StateStoreAnswers"
	ReasonDocumentsFound    = "DocumentsFound"
	ReasonIndexLoading      = "IndexLoading"
	ReasonDocumentsFailing  = "DocumentStoreFailing"
	ReasonToolsUsable       = "ToolsUsable"
	ReasonToolsConnecting   = "ToolsConnecting"
	ReasonToolsFailing      = "ToolsFailing"

	// Of Cloudflare: waiting helps, or what the message names.
	ReasonBindingsReady         = "BindingsReady"
	ReasonBindingPending        = "BindingPending"
	ReasonBindingNotFound       = "BindingNotFound"
	ReasonCreating              = "Creating"
	ReasonUpdating              = "Updating"
	ReasonDeleting              = "Deleting"
	ReasonTokenVerified         = "TokenVerified"
	ReasonTokenInvalid          = "TokenInvalid"
	ReasonTokenExpired          = "TokenExpired"
	ReasonWrongAccount          = "WrongAccount"
	ReasonPermissionMissing     = "PermissionMissing"
	ReasonPermissionNotAllowed  = "PermissionNotAllowed"
	ReasonPermissionsComplete   = "PermissionsComplete"
	ReasonQuotaExceeded         = "QuotaExceeded"
	ReasonWithinQuota           = "WithinQuota"
	ReasonRateLimited           = "RateLimited"
	ReasonCloudflareUnavailable = "CloudflareUnavailable"
	ReasonPaused                = "Paused"
	ReasonDryRun                = "DryRun"
	ReasonAwaitingSwitch        = "AwaitingSwitch"
	ReasonStateNotOffered       = "StateNotOffered"
	ReasonStateLoginFailed      = "StateLoginFailed"
	ReasonMovingState           = "MovingState"
	ReasonShared                = "Shared"

	// Only a change helps.
	ReasonForeignOwner       = "ForeignOwner"
	ReasonNameTaken          = "NameTaken"
	ReasonNotFound           = "NotFound"
	ReasonImmutable          = "Immutable"
	ReasonRefusedByAPI       = "RefusedByCloudflare"
	ReasonCredentialsGone    = "CredentialsGone"
	ReasonBindingMismatch    = "BindingMismatch"
	ReasonHostConflict       = "HostConflict"
	ReasonTenantIDConflict   = "TenantIDConflict"
	ReasonChildConflict      = "ChildConflict"
	ReasonChildRefused       = "ChildRefused"
	ReasonLimitAboveClass    = "LimitAboveClass"
	ReasonModelNotAllowed    = "ModelNotAllowed"
	ReasonReplicasAboveClass = "ReplicasAboveClass"
	ReasonResourcesAbove     = "ResourcesAboveClass"
	ReasonHostNotAllowed     = "HostNotAllowed"
	ReasonToolNotAllowed     = "ToolNotAllowed"
	ReasonPodPatchRefused    = "PodPatchRefused"
	ReasonDocumentRefused    = "DocumentRefused"
)

// MarkReady says that the pods serve what the spec asks for.
func (t *Tenant) MarkReady(message string) { t.marks().Ready(message) }

// MarkReconciling says that the tenant isn't as its spec asks yet, and will be without
// a change of the spec.
func (t *Tenant) MarkReconciling(reason, message string) { t.marks().Reconciling(reason, message) }

// MarkStalled says that only a change of the spec, or of what the message names, helps.
func (t *Tenant) MarkStalled(reason, message string) { t.marks().Stalled(reason, message) }

// MarkSuspended says that the tenant is stopped because its spec says so. It isn't
// Ready, since nobody answers, and nothing is under way or broken.
func (t *Tenant) MarkSuspended(message string) {
	t.Unmark(ConditionReconciling)
	t.Unmark(ConditionStalled)
	t.MarkFalse(ConditionReady, ReasonSuspended, message)
}

// MarkTrue sets a condition to True.
func (t *Tenant) MarkTrue(condition, reason, message string) {
	t.marks().True(condition, reason, message)
}

// MarkFalse sets a condition to False.
func (t *Tenant) MarkFalse(condition, reason, message string) {
	t.marks().False(condition, reason, message)
}

// MarkUnknown sets a condition to Unknown.
func (t *Tenant) MarkUnknown(condition, reason, message string) {
	t.marks().Unknown(condition, reason, message)
}

// Unmark removes a condition that doesn't apply.
func (t *Tenant) Unmark(condition string) { t.marks().Remove(condition) }

// Condition gives the condition of a type, nil if there is none.
func (t *Tenant) Condition(condition string) *metav1.Condition {
	return t.marks().Get(condition)
}

func (t *Tenant) marks() Marks { return Marks{&t.Status.Conditions, t.Generation} }

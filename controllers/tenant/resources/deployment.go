package resources

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
	"github.com/crispy-enigma/crispy-enigma/api/v1alpha1"
)

// Container is the name of the runtime's container.
const Container = "runtime"

// MoveContainer is the name of the one that moves state, before it.
const MoveContainer = "move"

const (
	// runtimeUser is "nonroot" of the usual minimal images.
	runtimeUser = 65532
	// preStopSeconds keep the old pod serving until every proxy has forgotten it.
	preStopSeconds = 3
	// terminationGraceSeconds let open streams end.
	terminationGraceSeconds = 120

	configVolume = "config"
	stateVolume  = "state"
	tmpVolume    = "tmp"
	cacheVolume  = "cache"
	// cacheSize holds the PDF engine's compiled code, 21 MiB, twice.
	cacheSize = "64Mi"
)

// deployment runs the tenant. What changes live isn't in it; what needs a restart is on
// the template as one digest.
func deployment(in Inputs, c *tenantconfig.Config) (*appsv1ac.DeploymentApplyConfiguration, error) {
	template, err := podTemplate(in, c)
	if err != nil {
		return nil, err
	}
	spec := appsv1ac.DeploymentSpec().
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(in.Tenant.Name))).
		WithRevisionHistoryLimit(3).
		WithStrategy(strategy(in.Effective)).
		WithTemplate(template)
	if n := replicas(in); n != nil {
		spec.WithReplicas(*n)
	}
	return appsv1ac.Deployment(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(spec), nil
}

// replicas is nil where the autoscaler decides. It doesn't scale from zero, so that a
// Tenant that has none yet starts with the fewest.
func replicas(in Inputs) *int32 {
	a := in.Effective.Autoscaling
	switch {
	case a == nil:
		return &in.Effective.Replicas
	case in.Replicas == nil || *in.Replicas == 0:
		return &a.Min
	}
	return nil
}

// strategy stops the old pod first where both would need the one volume.
func strategy(e v1alpha1.Effective) *appsv1ac.DeploymentStrategyApplyConfiguration {
	if mounts(e) {
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsv1ac.DeploymentStrategy().
		WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
			WithMaxSurge(intstr.FromInt32(1)).
			WithMaxUnavailable(intstr.FromInt32(0)))
}

func podTemplate(in Inputs, c *tenantconfig.Config) (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	base := corev1ac.PodTemplateSpec().
		WithLabels(labels(in.Tenant)).
		WithAnnotations(map[string]string{AnnotationRestart: tenantconfig.RestartDigest(c)}).
		WithSpec(podSpec(in))
	if in.Class == nil || in.Class.Spec.PodPatch == nil || len(in.Class.Spec.PodPatch.Raw) == 0 {
		return base, nil
	}
	return patched(base, in.Class.Name, in.Class.Spec.PodPatch.Raw)
}

func podSpec(in Inputs) *corev1ac.PodSpecApplyConfiguration {
	runtime, names := in.Tenant.Spec.Runtime, NamesOf(in.Tenant.Name)
	spec := corev1ac.PodSpec().
		WithServiceAccountName(names.Base).
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(terminationGraceSeconds).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).
			WithRunAsUser(runtimeUser).
			WithRunAsGroup(runtimeUser).
			WithFSGroup(runtimeUser).
			WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithTopologySpreadConstraints(spread(in, corev1.LabelHostname), spread(in, corev1.LabelTopologyZone)).
		WithVolumes(
			corev1ac.Volume().WithName(configVolume).
				WithSecret(corev1ac.SecretVolumeSource().WithSecretName(names.Config).WithDefaultMode(0o440)),
			corev1ac.Volume().WithName(tmpVolume).
				WithEmptyDir(corev1ac.EmptyDirVolumeSource())).
		WithContainers(container(in))
	if in.Cluster.HostUsers {
		spec.WithHostUsers(false)
	}
	if in.Effective.State.Moving {
		spec.WithInitContainers(mover(in))
	}
	if mounts(in.Effective) {
		spec.WithVolumes(corev1ac.Volume().WithName(stateVolume).
			WithPersistentVolumeClaim(corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(names.State)))
	}
	if cached(in) {
		spec.WithVolumes(corev1ac.Volume().WithName(cacheVolume).
			WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse(cacheSize))))
	}
	for label, value := range runtime.NodeSelector {
		spec.WithNodeSelector(map[string]string{label: string(value)})
	}
	for i := range runtime.Tolerations {
		spec.WithTolerations(toleration(runtime.Tolerations[i]))
	}
	if runtime.PriorityClassName != "" {
		spec.WithPriorityClassName(runtime.PriorityClassName)
	}
	return spec
}

func container(in Inputs) *corev1ac.ContainerApplyConfiguration {
	c := process(in, Container).
		WithPorts(
			corev1ac.ContainerPort().WithName(portName).WithProtocol(corev1.ProtocolTCP).WithContainerPort(tenantconfig.APIPort),
			corev1ac.ContainerPort().WithName("metrics").WithProtocol(corev1.ProtocolTCP).WithContainerPort(tenantconfig.MetricsPort)).
		WithStartupProbe(probe("/healthz").WithPeriodSeconds(1).WithTimeoutSeconds(1).WithFailureThreshold(60)).
		WithReadinessProbe(probe("/readyz").WithPeriodSeconds(2).WithTimeoutSeconds(2).WithFailureThreshold(3)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(10).WithTimeoutSeconds(5).WithFailureThreshold(3)).
		WithLifecycle(corev1ac.Lifecycle().
			WithPreStop(corev1ac.LifecycleHandler().WithSleep(corev1ac.SleepAction().WithSeconds(preStopSeconds))))
	if cached(in) {
		c.WithVolumeMounts(corev1ac.VolumeMount().WithName(cacheVolume).WithMountPath(tenantconfig.CacheDir))
	}
	if n := readerMemory(in); n > 0 {
		c.WithEnv(corev1ac.EnvVar().WithName(tenantconfig.EnvExtractMemory).WithValue(strconv.FormatInt(n, 10)))
	}
	return c
}

// cached tells whether the pod needs a volume for what can be made anew: documents are
// read, and there is none of the state's, where it outlives the pod.
func cached(in Inputs) bool { return in.Tenant.Spec.Documents != nil && !mounts(in.Effective) }

// maxReaderMemory is what reading a PDF needs at most, with room to spare.
const maxReaderMemory = 512 << 20

// readerMemory is what the process that reads files may take of the pod's memory, so that
// a file can't have the server killed; 0 where nothing bounds the pod, or nothing is read.
func readerMemory(in Inputs) int64 {
	if in.Tenant.Spec.Documents == nil {
		return 0
	}
	return min(in.Effective.Resources.Limits.Memory().Value()/2, maxReaderMemory)
}

// mover moves what lies on the volume to the server before the tenant is served from it.
// It goes on where an earlier one was cut off, and does nothing once all is there.
func mover(in Inputs) *corev1ac.ContainerApplyConfiguration {
	return process(in, MoveContainer).WithArgs("move")
}

// process is what every container of the runtime's image has.
func process(in Inputs, name string) *corev1ac.ContainerApplyConfiguration {
	c := corev1ac.Container().
		WithName(name).
		WithImage(Image(in)).
		WithImagePullPolicy(in.Effective.ImagePullPolicy).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).
			WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		WithResources(resourceRequirements(in.Effective.Resources)).
		WithVolumeMounts(
			corev1ac.VolumeMount().WithName(configVolume).WithMountPath(tenantconfig.Dir).WithReadOnly(true),
			corev1ac.VolumeMount().WithName(tmpVolume).WithMountPath("/tmp"))
	if mounts(in.Effective) {
		c.WithVolumeMounts(corev1ac.VolumeMount().WithName(stateVolume).WithMountPath(tenantconfig.StateDir))
	}
	if limit := in.Effective.Resources.Limits.Memory().Value() - readerMemory(in); limit > 0 {
		// The collector works harder before the kernel kills: nine tenths of what is left.
		c.WithEnv(corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue(strconv.FormatInt(limit/10*9, 10)))
	}
	return c
}

// Image that the pods run.
func Image(in Inputs) string {
	if in.Effective.Image != "" {
		return in.Effective.Image
	}
	return in.Operator.RuntimeImage
}

func probe(path string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithHTTPGet(corev1ac.HTTPGetAction().
		WithPath(path).WithScheme(corev1.URISchemeHTTP).WithPort(intstr.FromInt32(tenantconfig.MetricsPort)))
}

func spread(in Inputs, topology string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithMaxSkew(1).
		WithTopologyKey(topology).
		WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(Selector(in.Tenant.Name)))
}

func resourceRequirements(r corev1.ResourceRequirements) *corev1ac.ResourceRequirementsApplyConfiguration {
	out := corev1ac.ResourceRequirements()
	if len(r.Requests) > 0 {
		out.WithRequests(r.Requests)
	}
	if len(r.Limits) > 0 {
		out.WithLimits(r.Limits)
	}
	return out
}

func toleration(t corev1.Toleration) *corev1ac.TolerationApplyConfiguration {
	out := corev1ac.Toleration()
	if t.Key != "" {
		out.WithKey(t.Key)
	}
	if t.Operator != "" {
		out.WithOperator(t.Operator)
	}
	if t.Value != "" {
		out.WithValue(t.Value)
	}
	if t.Effect != "" {
		out.WithEffect(t.Effect)
	}
	if t.TolerationSeconds != nil {
		out.WithTolerationSeconds(*t.TolerationSeconds)
	}
	return out
}

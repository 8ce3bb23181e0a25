package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crispy-enigma/crispy-enigma/api/tenantconfig"
)

// ServicePort is where the API is reached inside the cluster.
const ServicePort = 80

// portName of the API's port on the Service and the container.
const portName = "http"

// service leads to the API alone; metrics and status stay out of it.
func service(in Inputs) *corev1ac.ServiceApplyConfiguration {
	return corev1ac.Service(NamesOf(in.Tenant.Name).Base, in.Tenant.Namespace).
		WithLabels(labels(in.Tenant)).
		WithOwnerReferences(controller(in.Tenant)).
		WithSpec(corev1ac.ServiceSpec().
			WithType(corev1.ServiceTypeClusterIP).
			WithSelector(Selector(in.Tenant.Name)).
			WithPorts(corev1ac.ServicePort().
				WithName(portName).
				WithProtocol(corev1.ProtocolTCP).
				WithAppProtocol("http").
				WithPort(ServicePort).
				WithTargetPort(intstr.FromInt32(tenantconfig.APIPort))))
}

// Package netpol enforces NetworkPolicies on the local cluster's one node with nftables.
//
// It promises the whole of networking.k8s.io/v1 for IPv4: pod and namespace selectors, ipBlock with except, ports by
// number, range and name, both directions, isolation as soon as one policy selects a pod. Traffic between a pod and
// its own node's processes is not held up on its way in (kubelet's probes), as Kubernetes demands.
//
// It is not for production: a policy takes effect some tenths of a second after the API server has it, and a pod's
// first packets may leave before its address is known. Connections that exist when a policy comes are not cut.
package netpol

// Command cluster runs a real Kubernetes of one node on this machine: etcd, API server, controllers, scheduler,
// kubelet and kube-proxy of hack/tools, containerd and runc of the distribution, pods with their own addresses.
//
// It promises that the host stays as it was: everything runs in network, mount, pid, ipc and uts namespaces of its own
// and in one cgroup, dies with one process, and `down` removes the rest, also after a kill -9. Pods have no way out
// but those that `up --outbound` names. Several clones of the repository run side by side. With kind and a container
// engine present, kind is used instead.
//
// It refuses to be anything but a place to develop and test: no persistence over a restart, no upgrades, one node.
//
// The processes, from the outside in: host.go keeps the forwards between the two networks, namespaces.go is PID 1
// inside, node.go starts the components and serves storage and network policies.
package main

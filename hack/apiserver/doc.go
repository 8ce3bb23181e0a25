// Package apiserver runs a real etcd and kube-apiserver for one test binary, with this
// project's CRDs installed, so that rules are judged by what will judge them in a
// cluster. Binaries come from KUBEBUILDER_ASSETS, else from hack/toolbox, which builds
// them at first use. No controller runs: nothing is garbage-collected, and a deleted
// namespace stays Terminating.
package apiserver

package pki

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig writes a self-contained kubeconfig for the client certificate of that name in dir; context is the name
// that kubectl shows.
func Kubeconfig(path, server, dir, client, context string) error {
	read := func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, file)) }
	ca, err := read("ca.crt")
	if err != nil {
		return fmt.Errorf("writing kubeconfig of %s: %w", client, err)
	}
	certificate, err := read(client + ".crt")
	if err != nil {
		return fmt.Errorf("writing kubeconfig of %s: %w", client, err)
	}
	key, err := read(client + ".key")
	if err != nil {
		return fmt.Errorf("writing kubeconfig of %s: %w", client, err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[context] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[client] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: context, AuthInfo: client}
	config.CurrentContext = context
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing kubeconfig of %s: %w", client, err)
	}
	return nil
}

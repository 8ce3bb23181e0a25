// Package pki makes the certificates of one local cluster: three authorities, serving and client certificates, the
// key that signs service account tokens, and kubeconfigs.
//
// It promises files that only their owner may read, and ECDSA P-256 throughout. It is for a cluster that lives for
// days on one machine: nothing is rotated.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is longer than anyone keeps a local cluster.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority signs certificates.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	dir         string
}

// NewAuthority makes a self-signed authority and writes name.crt and name.key into dir.
func NewAuthority(dir, name, commonName string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	template, err := newTemplate(pkix.Name{CommonName: commonName})
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	a := &Authority{certificate: certificate, key: key, dir: dir}
	if err := a.save(name, der, key); err != nil {
		return nil, fmt.Errorf("making authority %s: %w", name, err)
	}
	return a, nil
}

// Server writes a serving certificate for the hosts, which may be names or addresses. etcd also dials itself with its
// serving certificate, so it is good for clients too.
func (a *Authority) Server(name, commonName string, hosts ...string) error {
	return a.issue(name, pkix.Name{CommonName: commonName}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, hosts)
}

// Client writes a client certificate; Kubernetes reads the common name as the user, the organizations as groups.
func (a *Authority) Client(name, commonName string, groups ...string) error {
	return a.issue(name, pkix.Name{CommonName: commonName, Organization: groups}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil)
}

func (a *Authority) issue(name string, subject pkix.Name, usage []x509.ExtKeyUsage, hosts []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issuing %s: %w", name, err)
	}
	template, err := newTemplate(subject)
	if err != nil {
		return fmt.Errorf("issuing %s: %w", name, err)
	}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, usage
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issuing %s: %w", name, err)
	}
	if err := a.save(name, der, key); err != nil {
		return fmt.Errorf("issuing %s: %w", name, err)
	}
	return nil
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	// A minute back: the components start within the second that made the certificate.
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(lifetime)}, nil
}

func (a *Authority) save(name string, der []byte, key *ecdsa.PrivateKey) error {
	if err := saveKey(filepath.Join(a.dir, name+".key"), key); err != nil {
		return err
	}
	return savePEM(filepath.Join(a.dir, name+".crt"), "CERTIFICATE", der)
}

func saveKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return savePEM(path, "EC PRIVATE KEY", der)
}

func savePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// SigningKey writes name.key and name.pub, the pair for service account tokens.
func SigningKey(dir, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making key %s: %w", name, err)
	}
	if err := saveKey(filepath.Join(dir, name+".key"), key); err != nil {
		return fmt.Errorf("making key %s: %w", name, err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("making key %s: %w", name, err)
	}
	if err := savePEM(filepath.Join(dir, name+".pub"), "PUBLIC KEY", der); err != nil {
		return fmt.Errorf("making key %s: %w", name, err)
	}
	return nil
}

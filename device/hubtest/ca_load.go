package hubtest

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// LoadCA reads a CA that was saved by PEM and KeyPEM: one certificate and its
// private key as PKCS#8. It issues as it did before.
func LoadCA(certPEM, keyPEM []byte) (*CA, error) {
	cert, err := parseCA(certPEM)
	if err != nil {
		return nil, fmt.Errorf("hubtest: load a CA: certificate: %w", err)
	}
	key, err := parseKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("hubtest: load a CA: key: %w", err)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, errors.New("hubtest: load a CA: the key is not the certificate's; save both again")
	}
	return &CA{cert: cert, key: key, now: time.Now}, nil
}

// parseKeyPEM reads one private key. Its errors never show any of it.
func parseKeyPEM(text []byte) (crypto.Signer, error) {
	if len(text) > maxCAText {
		return nil, fmt.Errorf("it has %d bytes; at most %d are read", len(text), maxCAText)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no PEM block of type PRIVATE KEY")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("it is no PKCS#8 key that can sign")
	}
	return signer, nil
}

// KeyPEM is the CA's private key as PKCS#8: a secret, for LoadCA to read.
func (ca *CA) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, fmt.Errorf("hubtest: save a CA: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

package manifest

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
)

// secret adds a core/v1 Secret.
func (l *loader) secret(at place, object map[string]any) {
	before := len(l.problems)
	meta := l.metadata(at, object, apivalidation.NameIsDNSSubdomain, true)
	out := corev1.Secret{}
	l.strict(at, object, &out)
	for _, keys := range []map[string]any{mapping(object["data"]), mapping(object["stringData"])} {
		for key := range keys {
			if len(validation.IsConfigMapKey(key)) > 0 {
				l.problems.add(at, "data", valueThen(key, "is not a key that a Secret can have: use letters, digits, '-', '_' and '.'"))
			}
		}
	}
	if len(l.problems) > before {
		return
	}
	if out.Data == nil {
		out.Data = make(map[string][]byte, len(out.StringData))
	}
	for key, value := range out.StringData {
		out.Data[key] = []byte(value)
	}
	out.StringData = nil
	out.ObjectMeta = *meta
	l.secretType(at, &out)
	if len(l.problems) > before {
		return
	}
	l.set.Secrets = append(l.set.Secrets, out)
	l.keep(at, kindSecret, meta.Namespace, meta.Name)
}

// secretKeysOf are the keys that a Secret of a well-known type must have (Kubernetes documentation, "Types of Secret").
var secretKeysOf = map[corev1.SecretType][]string{
	corev1.SecretTypeTLS:              {corev1.TLSCertKey, corev1.TLSPrivateKeyKey},
	corev1.SecretTypeSSHAuth:          {corev1.SSHAuthPrivateKey},
	corev1.SecretTypeDockercfg:        {corev1.DockerConfigKey},
	corev1.SecretTypeDockerConfigJson: {corev1.DockerConfigJsonKey},
}

// secretType judges what an API server does of a Secret's values: their size, and the keys that its type asks for.
func (l *loader) secretType(at place, secret *corev1.Secret) {
	size := 0
	for _, value := range secret.Data {
		size += len(value)
	}
	if size > corev1.MaxSecretSize {
		l.problems.add(at, "data", fmt.Sprintf("is %d bytes in all, and a Secret may hold %d: split it in two", size, corev1.MaxSecretSize))
	}
	for _, key := range secretKeysOf[secret.Type] {
		if _, ok := secret.Data[key]; !ok {
			l.problems.add(at, "data", fmt.Sprintf("lacks the key %s, which type %s asks for: add it under stringData, or leave out type", key, secret.Type))
		}
	}
	switch secret.Type {
	case corev1.SecretTypeBasicAuth:
		_, username := secret.Data[corev1.BasicAuthUsernameKey]
		_, password := secret.Data[corev1.BasicAuthPasswordKey]
		if !username && !password {
			l.problems.add(at, "data", "lacks the keys username and password, of which type "+string(secret.Type)+" asks for one: add them under stringData, or leave out type")
		}
	case corev1.SecretTypeServiceAccountToken:
		if secret.Annotations[corev1.ServiceAccountNameKey] == "" {
			l.problems.add(at, "metadata.annotations["+corev1.ServiceAccountNameKey+"]", "is required by type "+string(secret.Type)+": name the service account")
		}
	case corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson:
		key := secretKeysOf[secret.Type][0]
		if value, ok := secret.Data[key]; ok && json.Unmarshal(value, &map[string]any{}) != nil {
			l.problems.add(at, "data["+key+"]", "is not a JSON object: write what docker login leaves in its configuration file")
		}
	}
}

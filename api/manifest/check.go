package manifest

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// CheckOption changes what Check asks for.
type CheckOption func(*checker)

// CredentialsElsewhere is for callers that get credentials from somewhere else than the Set, such as the environment:
// the Secrets of spec.credentials need not be there.
func CredentialsElsewhere() CheckOption {
	return func(c *checker) { c.credentialsElsewhere = true }
}

// Check says which references between the objects of a Set lead nowhere, which objects are there twice, and which
// selectors no API server could use. The error is a Problems with all of them. Warnings are lines about what is legal but
// hardly meant; none of them lets anybody see more than was written. An API server checks none of this when an object is
// applied: there it becomes the condition ResolvedRefs.
//
// Whether tables and columns exist cannot be known from manifests and is not checked.
func Check(set *Set, options ...CheckOption) (warnings []string, err error) {
	c := &checker{set: set, visited: map[objectKey]int{}}
	for _, option := range options {
		option(c)
	}
	c.duplicates()
	for i := range set.DataSources {
		c.dataSource(&set.DataSources[i])
	}
	for i := range set.Policies {
		c.policy(&set.Policies[i])
	}
	if len(c.problems) > 0 {
		return c.warnings, c.sorted()
	}
	return c.warnings, nil
}

type checker struct {
	set                  *Set
	credentialsElsewhere bool
	visited              map[objectKey]int
	problems             Problems
	warnings             []string
}

// place is where the next object of that name was read: the first one when asked first. For a Set that was put together
// in memory it is just the name.
func (c *checker) place(key objectKey) place {
	at := place{}
	if places := c.set.places[key]; c.visited[key] < len(places) {
		at = places[c.visited[key]]
	}
	c.visited[key]++
	at.object = key.String()
	return at
}

// sorted orders problems by file and line.
func (c *checker) sorted() Problems {
	c.problems.sortByLine()
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return cmp.Compare(a.File, b.File) })
	return c.problems
}

// duplicates finds objects that are there twice. For an API server the later would replace the earlier; here that would
// depend on the order of file names, so that it is refused instead.
func (c *checker) duplicates() {
	seen := map[objectKey]int{}
	for _, key := range c.keys() {
		seen[key]++
		if seen[key] < 2 {
			continue
		}
		at, first := place{object: key.String()}, "twice in this set"
		if places := c.set.places[key]; len(places) >= seen[key] {
			at = places[seen[key]-1]
			at.object = key.String()
			first = fmt.Sprintf("in %s:%d as well", places[0].file, places[0].lineOf(""))
		}
		c.problems.add(at, "metadata.name", "is there "+first+": rename or remove one of the two")
	}
}

func (c *checker) keys() []objectKey {
	var keys []objectKey
	for _, o := range c.set.DataSources {
		keys = append(keys, objectKey{kindDataSource, o.Namespace, o.Name})
	}
	for _, o := range c.set.Policies {
		keys = append(keys, objectKey{kindAccessPolicy, o.Namespace, o.Name})
	}
	for _, o := range c.set.Secrets {
		keys = append(keys, objectKey{kindSecret, o.Namespace, o.Name})
	}
	for _, o := range c.set.Namespaces {
		keys = append(keys, objectKey{kindNamespace, "", o.Name})
	}
	return keys
}

func (c *checker) dataSource(source *v1alpha1.DataSource) {
	at := c.place(objectKey{kindDataSource, source.Namespace, source.Name})
	spec := &source.Spec
	if !c.credentialsElsewhere {
		c.secretKeys(at, source.Namespace, "spec.credentials.secretRef", string(spec.Credentials.SecretRef.Name),
			v1alpha1.CredentialUsernameKey, v1alpha1.CredentialPasswordKey)
	}
	if ref := spec.Listen.TLSSecretRef; ref != nil {
		c.secretKeys(at, source.Namespace, "spec.listen.tlsSecretRef", string(ref.Name), corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	if spec.Postgres != nil {
		tls := spec.Postgres.TLS
		if ref := tls.CASecretRef; ref != nil {
			c.secretKeys(at, source.Namespace, "spec.postgres.tls.caSecretRef", string(ref.Name), ref.Key)
		}
		if ref := tls.ClientCertSecretRef; ref != nil {
			c.secretKeys(at, source.Namespace, "spec.postgres.tls.clientCertSecretRef", string(ref.Name),
				corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
		}
	}
	c.selector(at, "spec.allowedNamespaces.selector", spec.AllowedNamespaces.Selector)
	if !slices.ContainsFunc(c.set.Policies, func(p v1alpha1.AccessPolicy) bool { return speaksOf(p, source) }) {
		c.warnField(at, "", "no AccessPolicy speaks of it, so that every statement is denied")
	}
}

// secretKeys wants a Secret with non-empty values for some keys.
func (c *checker) secretKeys(at place, namespace, path, name string, keys ...string) {
	i := slices.IndexFunc(c.set.Secrets, func(s corev1.Secret) bool { return s.Namespace == namespace && s.Name == name })
	if i < 0 {
		message := fmt.Sprintf("Secret %s/%s is not there: add its manifest", namespace, name)
		if other := c.otherNamespace(name); other != "" {
			message = fmt.Sprintf("Secret %s/%s is not there, but there is one in namespace %s: it has to be in the namespace of the DataSource", namespace, name, other)
		}
		c.problems.add(at, path+".name", message)
		return
	}
	for _, key := range keys {
		if len(c.set.Secrets[i].Data[key]) == 0 {
			c.problems.add(at, path, fmt.Sprintf("Secret %s/%s has no value for the key %s: add it under stringData", namespace, name, key))
		}
	}
}

func (c *checker) otherNamespace(name string) string {
	for _, secret := range c.set.Secrets {
		if secret.Name == name {
			return secret.Namespace
		}
	}
	return ""
}

func (c *checker) policy(policy *v1alpha1.AccessPolicy) {
	at := c.place(objectKey{kindAccessPolicy, policy.Namespace, policy.Name})
	for i, ref := range policy.Spec.DataSources {
		c.dataSourceRef(at, policy, i, string(ref.Name))
	}
	for i, subject := range policy.Spec.Subjects {
		path := fmt.Sprintf("spec.subjects[%d]", i)
		c.selector(at, path+".namespaceSelector", subject.NamespaceSelector)
		c.selector(at, path+".podSelector", subject.PodSelector)
	}
	c.tablesLeftOut(at, policy)
	c.unusedMasks(at, policy)
}

// tableless are classes of statements that are useful without any table.
var tableless = []v1alpha1.StatementClass{v1alpha1.KindSession, v1alpha1.KindTransaction, v1alpha1.KindExplain}

// tablesLeftOut warns of rules that seem to allow something in every table and allow it in none.
func (c *checker) tablesLeftOut(at place, policy *v1alpha1.AccessPolicy) {
	for i, rule := range policy.Spec.Rules {
		usesTables := slices.ContainsFunc(rule.Statements, func(class v1alpha1.StatementClass) bool {
			return !slices.Contains(tableless, class) && !slices.Contains(v1alpha1.DangerousFeatures(), class)
		})
		if rule.Action == v1alpha1.ActionAllow && len(rule.Tables) == 0 && usesTables {
			c.warnField(at, fmt.Sprintf("spec.rules[%d]", i), `allows only what uses no table, since it names none: add tables, ["*.*"] for all`)
		}
	}
}

func (c *checker) dataSourceRef(at place, policy *v1alpha1.AccessPolicy, i int, name string) {
	var here []string
	elsewhere := ""
	for _, source := range c.set.DataSources {
		switch {
		case source.Namespace == policy.Namespace && source.Name == name:
			return
		case source.Namespace == policy.Namespace:
			here = append(here, source.Name)
		case source.Name == name:
			elsewhere = source.Namespace
		}
	}
	message := fmt.Sprintf("DataSource %s/%s is not there: ", policy.Namespace, name)
	switch {
	case elsewhere != "":
		message += fmt.Sprintf("there is one in namespace %s, where the AccessPolicy would have to be too", elsewhere)
	case len(here) > 0:
		message += suggest(name, here)
	default:
		message += "add its manifest"
	}
	c.problems.add(at, fmt.Sprintf("spec.dataSources[%d].name", i), message)
}

// selector finds label keys that no label can have; everything else about a selector is in the schema.
func (c *checker) selector(at place, path string, selector *v1alpha1.LabelSelector) {
	if _, err := selector.AsSelector(); err != nil {
		c.problems.add(at, path, err.Error())
	}
}

// unusedMasks warns of masks whose tags nothing carries: a mistyped tag, most of the time. The columns meant are
// redacted then, since no mask matches them.
func (c *checker) unusedMasks(at place, policy *v1alpha1.AccessPolicy) {
	tags, complete := c.tagsOf(policy)
	if !complete {
		return
	}
	for i, mask := range policy.Spec.Masks {
		for j, pattern := range mask.Tags {
			if slices.ContainsFunc(tags, func(tag v1alpha1.Tag) bool { return pattern.Matches(tag) }) {
				continue
			}
			c.warnField(at, fmt.Sprintf("spec.masks[%d].tags[%d]", i, j),
				fmt.Sprintf("no classification has a tag that %q matches; its columns are redacted", pattern))
		}
	}
}

// tagsOf returns the tags of a policy's DataSources, and false when one of them is not there.
func (c *checker) tagsOf(policy *v1alpha1.AccessPolicy) (tags []v1alpha1.Tag, complete bool) {
	found := 0
	for i := range c.set.DataSources {
		if !speaksOf(*policy, &c.set.DataSources[i]) {
			continue
		}
		found++
		for _, classification := range c.set.DataSources[i].Spec.Classifications {
			tags = append(tags, classification.Tags...)
		}
	}
	return tags, found >= len(policy.Spec.DataSources)
}

// warnField is what Problems.add is, for what is no problem.
func (c *checker) warnField(at place, field, message string) {
	var one Problems
	one.add(at, field, message)
	c.warnings = append(c.warnings, one[0].Error())
}

func speaksOf(policy v1alpha1.AccessPolicy, source *v1alpha1.DataSource) bool {
	return policy.Namespace == source.Namespace && slices.ContainsFunc(policy.Spec.DataSources,
		func(ref v1alpha1.DataSourceReference) bool { return string(ref.Name) == source.Name })
}

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds on what is read. They are far above what people write, and keep a wrong path (/dev/zero, a disk image, a home
// folder) from filling the memory.
const (
	maxFiles     = 1000
	maxFileBytes = 4 << 20 // an API server takes objects of at most 3 MiB
	maxAllBytes  = 64 << 20
	maxDocuments = 5000
)

type file struct {
	name    string
	content []byte
}

// readFiles reads every file that the paths mean, each once, in the order given and by name within a folder.
func readFiles(paths []string) ([]file, Problems) {
	var problems Problems
	if len(paths) == 0 {
		problems.add(place{}, "", "no manifests given: name a file, or a folder with *.yaml, *.yml or *.json files")
		return nil, problems
	}
	var names []string
	for _, path := range paths {
		expanded, err := expand(path)
		if err != nil {
			problems.add(place{file: path}, "", err.Error())
		}
		names = append(names, expanded...)
	}
	names = unique(names)
	if len(names) > maxFiles {
		problems.add(place{}, "", fmt.Sprintf("%d manifest files, more than %d; name fewer", len(names), maxFiles))
		return nil, problems
	}
	var files []file
	total := 0
	for _, name := range names {
		content, err := readFile(name)
		if err != nil {
			problems.add(place{file: name}, "", err.Error())
			continue
		}
		if total += len(content); total > maxAllBytes {
			problems.add(place{file: name}, "", fmt.Sprintf("manifests hold more than %d MiB together; name fewer", maxAllBytes>>20))
			return nil, problems
		}
		files = append(files, file{name: name, content: content})
	}
	return files, problems
}

// expand returns the path itself, or the manifests of the folder that it is.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, reason(err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, reason(err)
	}
	var names []string
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if !isManifestName(entry.Name()) {
			continue
		}
		// Stat, not the entry's own type: files of a mounted ConfigMap are symbolic links.
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("folder holds no manifests: there is no *.yaml, *.yml or *.json file directly in it")
	}
	return names, nil
}

// isManifestName leaves out hidden files, such as an editor's.
func isManifestName(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// readFile reads at most maxFileBytes, whatever size the file claims: it may be a pipe or a device.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d MiB, which no manifest is", maxFileBytes>>20)
	}
	return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), nil
}

// unique drops names that mean a file named before, so that a file and its folder can both be given.
func unique(names []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(name string) bool {
		absolute, err := filepath.Abs(name)
		if err != nil {
			absolute = filepath.Clean(name)
		}
		known := seen[absolute]
		seen[absolute] = true
		return known
	})
}

// reason is the error without the path, which the message already begins with.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return fmt.Errorf("cannot be read: %w", pathError.Err)
	}
	return err
}

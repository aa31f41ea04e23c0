package postgres

import (
	"context"
	"maps"
	"sort"
	"strings"

	"github.com/tidewaiter/tidewaiter/proxy/access"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/analysis"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/catalog"
	"github.com/tidewaiter/tidewaiter/proxy/protocol/postgres/core"
	"github.com/tidewaiter/tidewaiter/proxy/session"
)

// pinned are settings that every upstream session starts with: with them the
// server reads a statement's text as the analyzer does, whatever ALTER ROLE or
// ALTER DATABASE say.
var pinned = map[string]string{
	"client_encoding":             "UTF8",
	"standard_conforming_strings": "on",
	"backslash_quote":             "safe_encoding",
}

// describes reports whether a setting only says who the client is and how it reads
// values. Every driver sends some of these, and they need no decision.
func describes(name, value string) bool {
	switch strings.ToLower(name) {
	case "application_name", "datestyle", "timezone", "intervalstyle", "extra_float_digits":
		return true
	case "client_encoding":
		return safeEncoding(value)
	default:
		return false
	}
}

// safeEncoding reports whether a name is one of the encodings in which the proxy reads
// statements as the server does. The server looks at letters and digits alone
// (clean_encoding_name in src/common/encnames.c): asyncpg's is 'utf-8', quotes included.
func safeEncoding(name string) bool {
	clean := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return -1
		}
	}, name)
	return clean == "utf8" || clean == "unicode" || clean == "sqlascii"
}

// startupSettings decides on the settings of a startup message, its options
// included, as if each were a SET, and returns what to start upstream with.
func (c *conversation) startupSettings(ctx context.Context, s *session.Session, cat *catalog.Snapshot) (map[string]string, error) {
	asked, ok := parseOptions(c.options)
	if !ok {
		return nil, &access.Denial{What: "tidewaiter: the startup parameter options holds something other than -c name=value", Hint: "Use SET after connecting."}
	}
	for name, value := range c.settings {
		asked[name] = value
	}
	settings := maps.Clone(pinned)
	for name, value := range asked {
		settings[name] = value
	}
	maps.DeleteFunc(asked, describes)
	if len(asked) == 0 {
		return settings, nil
	}
	text := setStatements(asked)
	result, _, err := c.engine.facts.analyze(text, &analysis.State{}, cat, nil, c.engine.analysisOptions(nil))
	if err != nil {
		return nil, &access.Denial{Code: access.CodeUnreadable, What: "tidewaiter: the settings of the startup message could not be understood"}
	}
	op := operation(access.PhaseRun, result.Statements)
	keep(op, &core.Ask{Text: text}, result)
	x, hold, err := s.Ask(ctx, op)
	if hold != nil { // who connects is not told anything yet, and would hang up
		err = hold.Refused(&access.Denial{
			What: "tidewaiter: a setting of the startup message needs approval, for which nobody can wait before there is a session",
			Hint: "Use SET after connecting.",
		})
	}
	if err != nil {
		return nil, err
	}
	return settings, x.End(access.Ended{Outcome: access.OutcomeDone})
}

// setStatements writes settings as SET statements, in the order of their names.
func setStatements(settings map[string]string) string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString("SET " + quoteName(name) + " = " + quoteSetting(name, settings[name]))
	}
	return b.String()
}

func quoteName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(strings.ToLower(p), `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

// quoteSetting writes a value as a literal. A search_path is a list of names.
func quoteSetting(name, value string) string {
	if !strings.EqualFold(name, "search_path") {
		return quoteLiteral(value)
	}
	items := strings.Split(value, ",")
	for i, item := range items {
		item = strings.TrimSpace(item)
		if len(item) >= 2 && item[0] == '"' && item[len(item)-1] == '"' {
			item = strings.ReplaceAll(item[1:len(item)-1], `""`, `"`)
		}
		items[i] = quoteLiteral(item)
	}
	return strings.Join(items, ", ")
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// parseOptions reads the command-line form of settings: -c name=value, -cname=value
// and --name=value, with backslashes before white space (PostgreSQL documentation,
// "Frontend/Backend Protocol", StartupMessage).
func parseOptions(options string) (map[string]string, bool) {
	out := map[string]string{}
	args := splitOptions(options)
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-c" && i+1 < len(args):
			i++
			arg = args[i]
		case strings.HasPrefix(arg, "--"):
			arg = arg[2:]
		case strings.HasPrefix(arg, "-c"):
			arg = arg[2:]
		default:
			return nil, false
		}
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return nil, false
		}
		out[strings.ReplaceAll(name, "-", "_")] = value
	}
	return out, true
}

// splitOptions splits at white space that no backslash precedes.
func splitOptions(s string) []string {
	var args []string
	var cur strings.Builder
	started := false
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == '\\' && i+1 < len(s):
			i++
			cur.WriteByte(s[i])
			started = true
		case ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == '\v' || ch == '\f':
			if started {
				args = append(args, cur.String())
				cur.Reset()
				started = false
			}
		default:
			cur.WriteByte(ch)
			started = true
		}
	}
	if started {
		args = append(args, cur.String())
	}
	return args
}

package analysis

import (
	"fmt"
	"unicode/utf8"
)

// The parser is C and recursive: 30,000 terms of 1+1+1… overflow its stack and
// end the process, 5,000 exceed the depth that Go's protobuf decodes. So every
// text is measured first, without recursion, and refused above these bounds.
// The ceilings hold whatever is configured; they were found by experiment
// (TestTheParserSurvivesWhateverTheGuardLetsThrough stays far below the first
// failure at about 2,500 levels).
const (
	defaultMaxText   = 16 << 20
	defaultMaxTokens = 600_000 // all 65,535 parameters that the protocol has, cast and in parentheses, are 525,000
	defaultMaxDepth  = 200
	defaultMaxChain  = 1_500
	ceilingDepth     = 300
	ceilingChain     = 2_000

	// levelWeight is what one parenthesis counts in the height of the tree, in
	// operators: a sub-select in an expression makes about that many nodes.
	levelWeight = 4
)

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field          *int
		unset, ceiling int
	}{
		{&l.MaxText, defaultMaxText, 1 << 30},
		{&l.MaxTokens, defaultMaxTokens, 10_000_000},
		{&l.MaxDepth, defaultMaxDepth, ceilingDepth},
		{&l.MaxChain, defaultMaxChain, ceilingChain},
	} {
		if *f.field <= 0 {
			*f.field = f.unset
		}
		*f.field = min(*f.field, f.ceiling)
	}
	return l
}

// level is an open parenthesis, bracket or CASE, or the text itself.
type level struct {
	caseLevel bool
	chain     int // operators since the last separator
	below     int // the highest closed level since the last separator
	highest   int // of the parts before that separator
	joins     int // JOIN, UNION and the like, which separators do not end
}

func (l *level) height() int { return l.joins + max(l.highest, l.chain+l.below) }

// separate ends an operand list or an expression: what follows is a sibling in
// the tree, not a deeper level.
func (l *level) separate() {
	l.highest = max(l.highest, l.chain+l.below)
	l.chain, l.below = 0, 0
}

// guard measures one text.
type guard struct {
	limits Limits
	levels []level
	tokens int
	// afterDot: the last token was ".", so that a keyword is a column's name.
	// Without this, "t.and + t.and + …" would look like many short expressions.
	afterDot bool
}

// check refuses a text that the parser cannot be trusted with.
func check(text string, limits Limits) *Refusal {
	limits = limits.withDefaults()
	if len(text) > limits.MaxText {
		return tooLarge(fmt.Sprintf("it has %d bytes; the bound is %d", len(text), limits.MaxText))
	}
	if r := checkBytes(text); r != nil {
		return r
	}
	g := guard{limits: limits, levels: make([]level, 1, 16)}
	for s := (lexer{text: text}); s.next(); {
		if r := g.token(&s); r != nil {
			return r
		}
	}
	return nil
}

func checkBytes(text string) *Refusal {
	if !utf8.ValidString(text) {
		return &Refusal{
			Code: "22021", Message: "tidewaiter: the statement is not valid UTF-8",
			Hint: "Set client_encoding to UTF8 and send text in it.",
		}
	}
	for i := range len(text) {
		if text[i] == 0 {
			return &Refusal{Code: "22021", Message: "tidewaiter: the statement holds a zero byte"}
		}
	}
	return nil
}

func (g *guard) token(s *lexer) *Refusal {
	g.tokens++
	if g.tokens > g.limits.MaxTokens {
		return tooLarge(fmt.Sprintf("it has more than %d tokens", g.limits.MaxTokens))
	}
	afterDot := g.afterDot
	g.afterDot = false
	top := &g.levels[len(g.levels)-1]
	switch s.kind {
	case tokenOpen:
		return g.open(false)
	case tokenClose:
		g.close(false)
	case tokenComma, tokenSemicolon:
		top.separate()
		if s.kind == tokenSemicolon && len(g.levels) == 1 {
			*top = level{}
		}
	case tokenDot:
		g.afterDot = true
	case tokenOperator:
		return g.chain(top, s.operators)
	case tokenWord:
		if !afterDot {
			return g.word(top, s.word())
		}
	}
	return nil
}

func (g *guard) word(top *level, word string) *Refusal {
	switch word {
	case "case":
		return g.open(true)
	case "end":
		g.close(true)
	case "and", "or", "when", "then", "else", "select", "where", "on", "having":
		top.separate()
	case "join", "union", "intersect", "except":
		top.joins++
		return g.measure(top)
	case "not", "is", "isnull", "notnull", "like", "ilike", "similar", "in", "between", "collate", "at", "operator", "overlaps":
		return g.chain(top, 1)
	}
	return nil
}

func (g *guard) chain(top *level, operators int) *Refusal {
	top.chain += operators
	return g.measure(top)
}

func (g *guard) measure(top *level) *Refusal {
	if top.height() > g.limits.MaxChain {
		return tooComplex(fmt.Sprintf("its expressions are chained or nested to a height of more than %d", g.limits.MaxChain))
	}
	return nil
}

func (g *guard) open(caseLevel bool) *Refusal {
	if len(g.levels) > g.limits.MaxDepth {
		return tooComplex(fmt.Sprintf("parentheses, brackets or CASEs are nested more than %d deep", g.limits.MaxDepth))
	}
	g.levels = append(g.levels, level{caseLevel: caseLevel})
	return nil
}

// close ends the innermost level. A parenthesis also ends CASEs left open in it,
// which the parser will refuse; an END that ends no CASE is the statement END.
func (g *guard) close(caseLevel bool) {
	for len(g.levels) > 1 {
		last := g.levels[len(g.levels)-1]
		if caseLevel && !last.caseLevel {
			return
		}
		g.levels = g.levels[:len(g.levels)-1]
		top := &g.levels[len(g.levels)-1]
		top.below = max(top.below, last.height()+levelWeight)
		if last.caseLevel == caseLevel {
			return
		}
	}
}

func tooComplex(detail string) *Refusal {
	return &Refusal{
		Code: "54001", Message: "tidewaiter: the statement is too complex to be understood", Detail: "The statement is refused because " + detail + ".",
		Hint: "Split the statement, use IN (…) or ANY ($1) for long lists, or a temporary table.",
	}
}

func tooLarge(detail string) *Refusal {
	return &Refusal{
		Code: "54000", Message: "tidewaiter: the statement is too large to be understood", Detail: "The statement is refused because " + detail + ".",
		Hint: "Pass large values as parameters, and load many rows with COPY.",
	}
}

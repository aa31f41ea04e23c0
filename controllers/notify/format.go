package notify

import (
	"encoding/json"
	"fmt"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"

	"github.com/tidewaiter/tidewaiter/api/v1alpha1"
)

// maxText and maxShown bound a statement in a notice, in characters: for machines and for people.
const (
	maxText  = 8192
	maxShown = 1500
)

// body returns a notice as a sink's receiver reads it, and its media type.
func (n *notice) body(f Format) (raw []byte, mediaType string, err error) {
	switch f {
	case CloudEvents:
		raw, err = n.cloudEvent()
		return raw, "application/cloudevents+json; charset=utf-8", err
	case Slack:
		raw, err = json.Marshal(n.slack())
	case Teams:
		raw, err = json.Marshal(n.teams())
	default:
		err = fmt.Errorf("format %q is not known", f)
	}
	return raw, "application/json; charset=utf-8", err
}

// data is what a CloudEvent carries.
type data struct {
	Event      Event                       `json:"event"`
	State      v1alpha1.AccessRequestState `json:"state"`
	Namespace  string                      `json:"namespace"`
	Name       string                      `json:"name"`
	UID        string                      `json:"uid"`
	DataSource v1alpha1.ObjectName         `json:"dataSource"`
	Policy     v1alpha1.ObjectName         `json:"policy"`
	Rule       string                      `json:"rule"`
	OtherRules []v1alpha1.RuleReference    `json:"otherRules,omitempty"`
	Requester  v1alpha1.Requester          `json:"requester"`
	Summary    string                      `json:"summary,omitempty"`
	Reason     string                      `json:"reason,omitempty"`
	Text       string                      `json:"text,omitempty"`
	Digest     v1alpha1.Digest             `json:"digest,omitempty"`
	Rows       *int64                      `json:"estimatedRows,omitempty"`
	Exceeded   *v1alpha1.ExceededLimit     `json:"exceeded,omitempty"`
	Access     *v1alpha1.RequestedAccess   `json:"access,omitempty"`
	ExpiresAt  string                      `json:"expiresAt"`
	Until      string                      `json:"grantedUntil,omitempty"`
	Missing    string                      `json:"missing,omitempty"`
	Decisions  []v1alpha1.WeighedDecision  `json:"decisions,omitempty"`
	Commands   []string                    `json:"commands,omitempty"`
}

// cloudEvent is CloudEvents 1.0 in structured JSON. The id is the notice's: with the source it is how a receiver finds
// what it has had before.
func (n *notice) cloudEvent() ([]byte, error) {
	r := n.request
	e := cloudevents.New()
	e.SetID(n.id())
	e.SetSource("/apis/" + v1alpha1.GroupVersion.String() + "/namespaces/" + r.Namespace + "/accessrequests")
	e.SetType("dev.tidewaiter.accessrequest." + strings.ToLower(string(n.event)))
	e.SetSubject(r.Name)
	e.SetTime(n.at.UTC())
	d := data{
		Event: n.event, State: v1alpha1.AccessRequestState(stateOf(r)), Namespace: r.Namespace, Name: r.Name, UID: string(r.UID),
		DataSource: r.Spec.DataSource.Name, Policy: r.Spec.Policy, Rule: r.Spec.Rule, OtherRules: r.Spec.OtherRules, Requester: r.Spec.Requester,
		Summary: r.Spec.Summary, Reason: r.Spec.Reason, Access: r.Spec.Access, ExpiresAt: r.Spec.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z"),
		Missing: r.Status.Missing, Decisions: r.Status.Decisions, Commands: n.commands(),
	}
	if s := r.Spec.Statement; s != nil {
		d.Text, d.Digest, d.Rows, d.Exceeded = n.text(maxText), s.Digest, s.EstimatedRows, s.Exceeded
	}
	if t := r.Status.GrantedUntil; t != nil {
		d.Until = t.UTC().Format("2006-01-02T15:04:05Z")
	}
	if err := e.SetData(cloudevents.ApplicationJSON, d); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

type object = map[string]any

// slack is a message of blocks. What comes from outside is either in rich text, which Slack takes as it is, or escaped.
func (n *notice) slack() object {
	var lines []string
	for _, f := range n.facts() {
		lines = append(lines, "*"+f.name+":* "+mrkdwn(f.value))
	}
	blocks := []object{
		{"type": "header", "text": object{"type": "plain_text", "text": plain(n.title(), 140), "emoji": false}},
		{"type": "section", "text": object{"type": "mrkdwn", "text": strings.Join(lines, "\n"), "verbatim": true}},
	}
	if text := n.text(maxShown); text != "" {
		blocks = append(blocks, preformatted(text))
	}
	if commands := n.commands(); commands != nil {
		blocks = append(blocks, preformatted(strings.Join(commands, "\n")))
	}
	return object{"text": mrkdwn(n.title()), "blocks": blocks, "unfurl_links": false, "unfurl_media": false}
}

func preformatted(text string) object {
	return object{"type": "rich_text", "elements": []object{
		{"type": "rich_text_preformatted", "elements": []object{{"type": "text", "text": text}}},
	}}
}

// mrkdwn escapes a text as Slack asks (&, <, >: without these there are no links, mentions or channels), and what marks
// text up, which has no escape, gets a character of no width before it.
func mrkdwn(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", "\u200b*", "_", "\u200b_", "~", "\u200b~", "`", "\u200b`").Replace(s)
}

// teams is an Adaptive Card for the workflow "post to a channel when a webhook request is received". Text runs are not read
// as Markdown, unlike text blocks and facts.
func (n *notice) teams() object {
	items := []object{richText(object{"type": "TextRun", "text": plain(n.title(), 140), "weight": "Bolder", "size": "Medium"})}
	for _, f := range n.facts() {
		items = append(items, richText(
			object{"type": "TextRun", "text": f.name + ": ", "weight": "Bolder"}, object{"type": "TextRun", "text": f.value}))
	}
	for _, text := range append([]string{n.text(maxShown)}, n.commands()...) {
		if text != "" {
			items = append(items, richText(object{"type": "TextRun", "text": text, "fontType": "Monospace"}))
		}
	}
	card := object{
		"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
		"body": items, "msteams": object{"width": "Full"},
	}
	return object{"type": "message", "attachments": []object{
		{"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil, "content": card},
	}}
}

func richText(runs ...object) object { return object{"type": "RichTextBlock", "inlines": runs} }

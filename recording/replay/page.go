package replay

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"strings"
)

// pageStyle and pageScript are all that runs on the page: its policy names their digests, and nothing of a recording is in them.
const pageStyle = `:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
pre,td,code{font:13px/1.45 ui-monospace,monospace}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0}
dl{display:grid;grid-template-columns:6rem 1fr;margin:1rem 0}dt{opacity:.7}dd{margin:0}article{border:1px solid #8884;border-radius:6px;padding:.6rem 1rem;margin:.6rem 0}
header{display:flex;gap:1rem;flex-wrap:wrap}header b{min-width:3rem}.good{color:#18803a}.warning{color:#a56300}.alarm{color:#c62828;font-weight:600}
small,.faint{opacity:.7}table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #8884;padding:.15rem .5rem;text-align:left;white-space:pre}
form{position:sticky;top:0;background:Canvas;padding:.6rem 0;display:flex;gap:1rem}input[type=search]{flex:1;font:inherit;padding:.3rem}`

const pageScript = `(()=>{const f=document.getElementById("filter");f.hidden=false;const q=f.elements.q,d=f.elements.d,n=document.getElementById("found");
const all=[...document.querySelectorAll("article")];const show=()=>{const t=q.value.toLowerCase();let k=0;for(const a of all){
const hit=(!d.checked||a.dataset.loud!=="good")&&a.textContent.toLowerCase().includes(t);a.hidden=!hit;if(hit)k++}n.textContent=k+" of "+all.length};
f.addEventListener("input",show);f.addEventListener("submit",e=>e.preventDefault());document.addEventListener("DOMContentLoaded",()=>{
all.splice(0,all.length,...document.querySelectorAll("article"));show()})})()`

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var pageTemplate = template.Must(template.New("").Funcs(template.FuncMap{"count": count}).Parse(strings.NewReplacer(
	"POLICY", "default-src 'none'; style-src "+digest(pageStyle)+"; script-src "+digest(pageScript)+"; base-uri 'none'; form-action 'none'",
	"STYLE", pageStyle, "SCRIPT", pageScript).Replace(`
{{define "begin"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="POLICY">
<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer"><title>Tidewaiter: a recorded session</title><style>STYLE</style></head><body>
<h1>A recorded session</h1>
<form id="filter" hidden><input type="search" name="q" placeholder="Search statements, tables, rows, rules"><label><input type="checkbox" name="d"> only what was not simply allowed</label><span id="found" class="faint"></span></form>
<script>SCRIPT</script>
{{end}}
{{define "about"}}<dl>{{range .}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl>
{{end}}
{{define "statement"}}<article data-loud="{{.Class}}"><header><b>{{.Number}}</b><span class="faint">{{.Time}}</span><span class="{{.Class}}">{{.Verdict}}</span><span>{{.Result}}</span></header>
<pre>{{.Text}}</pre>{{if .Hidden}}<p class="faint">{{.Hidden}} more characters</p>{{end}}
<small>{{.Facts}}{{with .Tags}}; tags {{.}}{{end}}</small>{{with .Parameters}}<pre>{{.}}</pre>{{end}}{{with .Reason}}<p>{{.}}</p>{{end}}
{{range .Notes}}<p>{{.}}</p>{{end}}{{range .Alarms}}<p class="alarm">ALARM: {{.}}</p>{{end}}
{{if .Tables}}<details open><summary>rows</summary>{{range .Tables}}<table>{{with .Head}}<tr>{{range .}}<th>{{.}}</th>{{end}}</tr>{{end}}{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>{{end}}</table>{{end}}</details>{{end}}
{{if .More}}<p class="faint">{{count .More}} more rows recorded</p>{{end}}</article>
{{end}}
{{define "end"}}{{if .Left}}<p class="alarm">{{count .Left}} more statements are recorded, which this page has no room for: choose with --statement.</p>{{end}}
<p class="{{if .Good}}good{{else}}alarm{{end}}">{{.State}}; head <code>{{.Head}}</code></p></body></html>
{{end}}`)))

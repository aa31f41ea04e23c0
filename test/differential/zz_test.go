package differential
import ("testing";"time")
func TestZZ(t *testing.T){
 _,d:=target(t)
 for s:=range uint64(250) { t0:=time.Now(); a,err:=hold(t.Context(),d,converse(s)); b,_:=hold(t.Context(),d,converse(s)); 
  df:=firstDifference(a,b)
  if a.end!=""||err!=nil||df!="" { t.Log(s,time.Since(t0),len(a.frames),a.end,err,df); 
  if a.end!="" {for i,st:=range converse(s) { t.Log(i,st.text,st.await,st.mark) }; n:=len(a.frames); for _,f:=range a.frames[max(0,n-8):] { t.Logf("%c %.100q",f.kind,f.body)}}; if time.Since(t0)>3*time.Second {break} }
 }
}

// Ends the session on the server, then shows the login.
fetch("/api/v1/logout", { method: "POST", headers: { "X-Medunet": "1" } }).finally(() => location.replace("/login"));

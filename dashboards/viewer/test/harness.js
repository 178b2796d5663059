// Mounts the built viewer as Streamlit would, without Streamlit; triggers are kept in window.triggers.
import mount from "/dist/index.js";

window.triggers = [];
const setTriggerValue = (name, value) => window.triggers.push([name, value]);
const can = (new URLSearchParams(location.search).get("can") ?? "view,edit,decide").split(",");
const data = { case: "0123456789abcdef", api: "/api/v1", can, queue: { previous: null, next: "fedcba9876543210" } };
mount({ data, parentElement: document.body, setTriggerValue });

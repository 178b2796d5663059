"""What Streamlit runs for every browser tab."""

from dashboards.app import show

show()

"""What a run is: closed, frozen records. Never imports torch."""

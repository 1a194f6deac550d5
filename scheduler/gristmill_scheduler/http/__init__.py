"""The scheduler's HTTP side: who asks, what may be asked, and how answers and refusals look."""

"""Which way the medium task's gradient points: `make mechanism`."""

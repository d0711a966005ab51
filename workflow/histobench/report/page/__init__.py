"""The report page: one HTML file that needs nothing else. Every measured number on it is the text of a CSV's cell."""

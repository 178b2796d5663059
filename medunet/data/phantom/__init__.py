"""A simulated abdomen CT: anatomy, organs, vessels, and the scanner that blurs and adds noise."""

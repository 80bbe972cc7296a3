"""The pages behind emailed links: plain HTML that works without JavaScript."""

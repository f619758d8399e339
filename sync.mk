# The sync of this project under the names that people have in their fingers.
# Included by a project's Makefile: `include Makefile.sync`, or `make -f Makefile.sync sync-pull`.
RSYN ?= rsyn

.PHONY: sync-setup sync-status sync-pull sync-push sync-pull-dry sync-push-dry

sync-setup: ## check everything that a sync needs
	$(RSYN) setup

sync-status: ## are this machine and the hub in step?
	$(RSYN) status

sync-pull: ## bring changes of the hub here (the hub wins conflicts)
	$(RSYN) pull

sync-push: ## send changes to the hub (this machine wins conflicts)
	$(RSYN) push

sync-pull-dry: ## show what a pull would do
	$(RSYN) pull --dry-run

sync-push-dry: ## show what a push would do
	$(RSYN) push --dry-run

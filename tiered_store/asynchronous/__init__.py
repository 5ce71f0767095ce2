"""
Any stack for asyncio and trio: the same stores, waited for in threads.
"""

# A post_action of a webhook location that leads to another one: what was refused,
# or is a repeat, does not get to a receiver that way either.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $forged   = secret('whsec_another-secret-0123');

edge(server => <<'END');
        location = /posted   { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; post_action @action; }
        location @action     { chatmaid_webhook on; proxy_set_header X-Action 1; proxy_pass http://127.0.0.1:%API%; }
END

sub to ($path, @more) { code(hook_at($path, @more)) }
sub sent ()           { scalar(() = bodies($receiver)) }

my $body  = event('message.sent');
my $other = event('message.sent');

is(to('/posted', $body), 200, 'an event is handed on');
wait_for(sub { sent() == 2 }, 'the post_action of an event that was verified');

is(code(hook_again('/posted', $body)), 200, 'its repeat is answered');
is(to('/posted', $other, signed($other, secret => $forged)), '401 signature_mismatch', 'a forgery is refused');
is(to('/posted', $other, 'X-Chatmaid-Signature' => 'none'), '400 malformed_signature', 'so is what has no signature');

# A post_action is over when the next request on the connection is answered.
is(to('/posted', $other), 200, 'another event is handed on');
wait_for(sub { sent() >= 4 }, 'the post_action of the other');

is(sent(), 4, 'nothing else has come to the receiver');

done;

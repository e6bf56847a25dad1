# client_max_body_size of the location that was asked is the one that counts, not
# those of the locations that serve it: the internal one, auth_request's, mirror's.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $api      = sandbox;
my $nginx    = nginx(
    files    => {webhook_secret => webhook_secret . "\n"},
    http     => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_webhook_dedup 0; client_max_body_size 8k;',
    gateway  => 'chatmaid_sender +15550100001;',
    internal => 'client_max_body_size 1k;',
    server   => <<"END");
chatmaid_sender +15550100001;
location ^~ /asked/    { chatmaid_gateway /.chatmaid/; auth_request /auth; }
location ^~ /again/    { chatmaid_gateway /.chatmaid/; auth_request /rewritten; }
location ^~ /mirrored/ { chatmaid_gateway /.chatmaid/; mirror /copy; }
location ^~ /denied/   { chatmaid_gateway /.chatmaid/; auth_request /deny; }
location = /hook       { chatmaid_webhook on; auth_request /auth; proxy_pass http://127.0.0.1:${\$receiver->port}; }
location = /auth       { internal; client_max_body_size 1k; proxy_pass http://127.0.0.1:%PORT:auth%;
                         proxy_pass_request_body off; proxy_set_header Content-Length ""; }
location = /rewritten  { internal; rewrite ^ /auth last; }
location = /deny       { internal; client_max_body_size 1k; proxy_pass http://127.0.0.1:%PORT:auth%/deny; }
location = /copy       { internal; client_max_body_size 1k; proxy_pass http://127.0.0.1:%PORT:auth%; }
END

my $other = nginx(name => 'other', no_module => 1, error_log => 'info', conf => <<"END");
%HEAD%
http {
    %HTTP%
    log_format size '\$uri \$http_content_length';
    server {
        listen 127.0.0.1:${\$nginx->port('auth')};
        access_log %DIR%/size.log size;
        location = /deny { return 403; }
        location /       { return 204; }
    }
}
END

my $m = message(padding => 'x' x 4000);

for my $gateway (qw(chatmaid asked again mirrored)) {
    my $sends = $api->sends;
    my ($k, $n) = (key, {%$m, text => $gateway});
    is(told($nginx->post($nginx->url("/$gateway/send"), $n, 'Idempotency-Key' => $k)), 201, "$gateway: a send of 4 kB") for 1, 2;
    is(made($n), 1, "$gateway: one message");
    is(told($nginx->post($nginx->url("/$gateway/send"), {%$n, padding => 'x' x 9000})), '413 body_too_large not_sent', "$gateway: one of 9 kB");
    is($api->sends, $sends + 1, "$gateway: is not sent");
}
is(told($nginx->post($nginx->url('/denied/send'), $m)), '403 forbidden not_sent', 'auth_request still decides');
wait_for(sub { slurp($other->dir . '/size.log') =~ m{^/copy 4\d{3}$}m }, 'the copy, with its body');

my $event = event('message.sent', {messageId => 'msg_1', padding => 'x' x 4000});
is($nginx->post($nginx->url('/hook'), $event, signed($event))->{status}, 200, 'an event of 4 kB');
is(passed($receiver, $event), 1, 'is passed on');

done;

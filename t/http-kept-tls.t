# What TLS keeps of a connection serves a call only as far as its own location's
# settings would have it: kept connections of several peers, and sessions.

use Chatmaid::Test;

my $other = sandbox(name => 'other');
my $api   = sandbox;

my $tls  = 'proxy_http_version 1.1; proxy_set_header Host developers-api.chatmaid.net; proxy_set_header Connection ""; '
    . 'proxy_ssl_server_name on; proxy_ssl_name developers-api.chatmaid.net; proxy_ssl_protocols TLSv1.2 TLSv1.3;';
my $on   = "$tls proxy_ssl_verify on; proxy_ssl_trusted_certificate %CA%;";
my $live = 'chatmaid_api_key_file %DIR%/live;';
my %way  = (live => $on, twin => $on, lax => "$tls proxy_ssl_verify off;",
    staging => "$tls proxy_ssl_verify on; proxy_ssl_trusted_certificate %CRT:other%;");
my $m = {to => '+15550100099', text => 'Your table is ready'};

sub gateway_to ($name, $upstream) {
    return nginx(name => $name, http => 'chatmaid_idempotency off;', files => {live => live_key}, upstream => $upstream, server => join "\n", 'chatmaid_sender +15550100001;',
        map { "location ^~ /$_/ { chatmaid_gateway /.$_/; " . (/live|twin/ ? $live : '') . ' } '
            . "location ^~ /.$_/ { internal; proxy_pass https://chatmaid_api/; $way{$_} }" } sort keys %way);
}
sub to ($name)     { told(post(url("/$name/send"), $m)) }

my $sent = '201';

subtest 'connections kept to two peers' => sub {
    for my $balance ('', 'least_conn;', 'random;') {
        gateway_to('two' . length $balance, "$balance server 127.0.0.1:%API%; server 127.0.0.1:" . $other->port . '; keepalive 16;');
        is(to($_), $sent, "$balance $_") for qw(live live twin twin live lax lax live);
    }
};

# The peer is wrong.example, and verified as that.  From nginx 1.23 on, locations
# that inherit these settings share one SSL context, whatever their proxy_ssl_name.
subtest 'a connection kept to another name' => sub {
    my $wrong = sandbox(name => 'wrong', cert => 'wrong');
    my $chatmaid = 'developers-api.chatmaid.net';
    nginx(
        name     => 'names',
        http     => 'chatmaid_idempotency off; map $http_user_agent $name { ~^name=(?<n>.+)$ $n; }',
        upstream => 'server 127.0.0.1:' . $wrong->port . '; keepalive 16;',
        files    => {live => live_key},
        server   => <<"END");
chatmaid_sender +15550100001;
$on
location ^~ /plain/   { proxy_pass https://chatmaid_api/; proxy_ssl_name wrong.example; }
location ^~ /named/   { chatmaid_gateway /.named/; }
location ^~ /.named/  { internal; proxy_pass https://chatmaid_api/; proxy_ssl_name wrong.example; }
location ^~ /live/    { chatmaid_gateway /.live/; $live }
location ^~ /.live/   { internal; proxy_pass https://chatmaid_api/; }
location ^~ /varies/  { chatmaid_gateway /.varies/; $live }
location ^~ /.varies/ { internal; proxy_pass https://chatmaid_api/; proxy_ssl_name \$name; }
END
    my $refused = '502 upstream_error not_sent';
    for my $opener ('plain', 'named') {
        is(get(url('/plain/v1/account'))->{status}, 401, 'another location reaches wrong.example') if $opener eq 'plain';
        is(to('named'), $sent, 'a call does') if $opener eq 'named';
        is(to('live'), $refused, "a live send to Chatmaid does not go there ($opener)");
    }
    is(told(post(url('/varies/send'), $m, 'User-Agent' => "name=$_->[0]")), $_->[1], "a name that a variable gives: $_->[0]")
        for ['wrong.example', $sent], [$chatmaid, $refused], ['wrong.example', $sent], ['wrong.example', $sent];
    is(join(' ', map { $_->{reused} } $wrong->requests(path => '/v1/messages/send')), '0 0 0 1', 'equal names share their connection');
};

# As Chatmaid an nginx, which resumes sessions; what it was sent it logs by kind.
sub resuming ($name, $crt, $protocol) {
    return nginx(name => $name, no_module => 1, error_log => 'info', conf => <<"END");
%HEAD%
http {
    %HTTP%
    map \$http_authorization \$kind { default none; ~sk_live_ live; ~sk_test_ test; }
    log_format kind '\$kind';
    server {
        listen 127.0.0.1:%PORT% ssl;
        access_log %DIR%/kind.log kind;
        ssl_protocols $protocol;
        ssl_certificate     %CRT:$crt%;
        ssl_certificate_key %KEY:$crt%;
        ssl_session_cache   shared:sessions:1m;
        keepalive_timeout   0;
        default_type        application/json;
        location / { return 201 '{"success":true,"data":{"id":"msg_1"}}'; }
    }
}
END
}

for my $protocol ('TLSv1.2', 'TLSv1.3') {
    subtest "sessions, $protocol" => sub {
        my $foreign = resuming("foreign$protocol", 'foreign', $protocol);
        gateway_to("lured$protocol", 'server 127.0.0.1:' . $foreign->port . ';');
        is(to('staging'), $sent, "a certificate that only another location trusts: that one's send");
        is(to('live'), '502 upstream_error not_sent', 'a live send');
        is(to('lax'), $sent, 'a send without verification');
        is(to('live'), '502 upstream_error not_sent', 'a live send');
        unlike(slurp($foreign->dir . '/kind.log'), qr/live/, 'the live key never went there');

        my $good = resuming("good$protocol", 'good', $protocol);
        gateway_to("fair$protocol", 'server 127.0.0.1:' . $good->port . ';');
        is(to($_), $sent, "a good certificate: $_") for qw(lax live twin lax live);
    };
}

done;
